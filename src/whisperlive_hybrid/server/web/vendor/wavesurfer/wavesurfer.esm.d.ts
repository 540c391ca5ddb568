// What the page uses of the waveform, for the type checker; no browser ever sees this file.

export interface Colours {
  waveColor: string;
  progressColor: string;
  cursorColor: string;
}

export interface Options extends Colours {
  container: HTMLElement;
  media: HTMLMediaElement;
  peaks: Float32Array[];
  duration: number;
  height: number;
  barWidth: number;
  barGap: number;
  barRadius: number;
  normalize: boolean;
  cspNonce: string;
}

export default class WaveSurfer {
  static create(options: Options): WaveSurfer;
  setOptions(options: Colours): void;
  destroy(): void;
}

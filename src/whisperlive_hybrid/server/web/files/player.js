// The recording: its waveform where the browser can draw it, and always a player.

import { peaks } from "../core/peaks.js";
import { clock, inWords } from "../core/times.js";
import { part, show, write } from "../ui/dom.js";
import WaveSurfer from "../vendor/wavesurfer/wavesurfer.esm.js";

/** Drawing decodes the whole file in memory: at 8 kHz an hour of stereo takes 230 MB. */
const LONGEST_DRAWN_S = 3600;
const LARGEST_DRAWN = 300 * 2 ** 20;
const DRAWN_RATE = 8000;

/**
 * Whether a waveform can be drawn with what a browser may be expected to have.
 *
 * @param {number} bytes
 * @param {number} seconds not finite where the file does not tell
 */
export function canDraw(bytes, seconds) {
  if (!Number.isFinite(seconds)) return bytes <= LARGEST_DRAWN / 10;
  return bytes <= LARGEST_DRAWN && seconds <= LONGEST_DRAWN_S;
}

export class Player {
  #box = part("player", HTMLElement);
  #play = part("play", HTMLButtonElement);
  #seek = part("seek", HTMLInputElement);
  #place = part("place", HTMLOutputElement);
  #wave = part("wave", HTMLElement);
  #note = part("player-note", HTMLElement);
  #audio = new Audio();
  /** @type {WaveSurfer | null} */
  #surfer = null;
  #url = "";

  /**
   * @param {string} nonce for the style element of the waveform
   * @param {(seconds: number) => void} onTime
   */
  constructor(nonce, onTime) {
    this.#nonce = nonce;
    this.#onTime = onTime;
    this.#audio.preload = "auto";
    this.#play.addEventListener("click", () => this.toggle());
    this.#seek.addEventListener("input", () => this.goTo(Number(this.#seek.value)));
    const speed = part("speed", HTMLSelectElement);
    speed.addEventListener("change", () => (this.#audio.playbackRate = Number(speed.value)));
    for (const name of ["play", "pause", "ended"])
      this.#audio.addEventListener(name, () => this.#playing());
    this.#audio.addEventListener("seeked", () => this.#tell());
    this.#audio.addEventListener("durationchange", () => this.#measure());
    this.#audio.addEventListener("error", () =>
      this.#say("This browser cannot play the file. The transcript is complete all the same."),
    );
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
      this.#surfer?.setOptions(colours()),
    );
  }

  #nonce;
  #onTime;

  get hasSound() {
    return this.#url !== "";
  }

  /** @param {Blob} recording */
  load(recording) {
    this.clear();
    this.#url = URL.createObjectURL(recording);
    this.#audio.src = this.#url;
    show(this.#box, true);
    this.#audio.addEventListener("loadedmetadata", () => void this.#draw(recording), {
      once: true,
    });
  }

  clear() {
    this.#audio.pause();
    this.#surfer?.destroy();
    this.#surfer = null;
    this.#audio.removeAttribute("src");
    if (this.#url) URL.revokeObjectURL(this.#url);
    this.#url = "";
    show(this.#box, false);
    show(this.#note, false);
    show(this.#wave, true);
  }

  toggle() {
    if (this.#audio.paused) this.#start();
    else this.#audio.pause();
  }

  /** A start is given up when a pause comes before the sound: nothing that anybody must know. */
  #start() {
    this.#audio.play().catch(() => undefined);
  }

  /**
   * @param {number} seconds
   * @param {boolean} [andPlay]
   */
  goTo(seconds, andPlay = false) {
    this.#audio.currentTime = seconds;
    if (andPlay) this.#start();
  }

  /** @param {Blob} recording */
  async #draw(recording) {
    const url = this.#url;
    if (!canDraw(recording.size, this.#audio.duration)) {
      this.#goWithout(
        "The recording is too long to draw its waveform here; it plays all the same.",
      );
      return;
    }
    const drawn = await decoded(recording);
    if (url !== this.#url) return; // another recording is open by now
    if (drawn) this.#surfer = WaveSurfer.create({ ...this.#shape(drawn), ...colours() });
    else
      this.#goWithout(
        "The waveform cannot be drawn from this kind of file; it plays all the same.",
      );
  }

  /**
   * Given the peaks, the library neither reads the file again nor touches what plays.
   *
   * @param {AudioBuffer} drawn
   */
  #shape(drawn) {
    const channels = Array.from({ length: drawn.numberOfChannels }, (_, index) =>
      drawn.getChannelData(index),
    );
    return {
      container: this.#wave,
      media: this.#audio,
      peaks: [peaks(channels)],
      duration: drawn.duration,
      height: 72,
      barWidth: 2,
      barGap: 2,
      barRadius: 2,
      normalize: true,
      cspNonce: this.#nonce,
    };
  }

  /** @param {string} why */
  #goWithout(why) {
    this.#say(why);
    show(this.#wave, false);
  }

  #playing() {
    const isPlaying = !this.#audio.paused;
    this.#play.setAttribute("aria-label", isPlaying ? "Pause" : "Play");
    this.#play.classList.toggle("playing", isPlaying);
    if (isPlaying) this.#run();
  }

  /** The browser's own timeupdate comes four times a second: too seldom for words. */
  #run() {
    this.#tell();
    if (!this.#audio.paused) requestAnimationFrame(() => this.#run());
  }

  #tell() {
    const now = this.#audio.currentTime;
    this.#measure();
    this.#seek.value = String(now);
    this.#seek.setAttribute("aria-valuetext", inWords(now));
    this.#onTime(now);
  }

  #measure() {
    const { currentTime, duration } = this.#audio;
    if (Number.isFinite(duration)) this.#seek.max = String(duration);
    write(
      this.#place,
      `${clock(currentTime)} / ${Number.isFinite(duration) ? clock(duration) : "?"}`,
    );
  }

  /** @param {string} text */
  #say(text) {
    if (!this.#url) return;
    write(this.#note, text);
    show(this.#note, true);
  }
}

/**
 * The sound of a file, at the lowest rate that browsers decode to; null for one that they cannot read.
 *
 * @param {Blob} recording
 * @returns {Promise<AudioBuffer | null>}
 */
async function decoded(recording) {
  const content = await recording.arrayBuffer();
  return new OfflineAudioContext(1, 1, DRAWN_RATE).decodeAudioData(content).catch(() => null);
}

/** The colours of the page, as it is now. */
function colours() {
  const style = getComputedStyle(document.documentElement);
  /** @param {string} name */
  const value = (name) => style.getPropertyValue(name).trim();
  return {
    waveColor: value("--wave"),
    progressColor: value("--accent"),
    cursorColor: value("--ink"),
  };
}

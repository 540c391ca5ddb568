// Where sound comes from: the microphone, or what a tab or the computer plays.

import { RATE } from "./protocol.js";

/** @typedef {"microphone" | "tab"} Source */

/** What a browser's refusals mean. */
/** @type {Record<string, string>} */
const REFUSALS = {
  NotAllowedError:
    "The browser was not allowed to listen. Allow it in the address bar, then start again.",
  NotFoundError: "There is no microphone.",
  NotReadableError: "The microphone is in use by another program, or broken.",
};

/** Sound could not be had; the message is for people. */
export class NoSound extends Error {}

export class Sound {
  /**
   * @param {MediaStream} stream
   * @param {AudioContext} context
   */
  constructor(stream, context) {
    this.#stream = stream;
    this.#context = context;
  }

  #stream;
  #context;

  /**
   * Begin to listen.
   *
   * @param {Source} source
   * @param {(samples: Float32Array) => void} onPiece a tenth of a second at 16 kHz
   * @param {() => void} onEnd the user or the system has ended it
   * @returns {Promise<Sound>}
   */
  static async open(source, onPiece, onEnd) {
    const stream = await asked(source);
    for (const track of stream.getAudioTracks()) track.addEventListener("ended", onEnd);
    const context = await contextFor(stream);
    await context.audioWorklet.addModule(new URL("capture-worklet.js", import.meta.url));
    const capture = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0 });
    capture.port.onmessage = ({ data }) => onPiece(data);
    context.createMediaStreamSource(stream).connect(capture);
    await context.resume();
    return new Sound(stream, context);
  }

  close() {
    for (const track of this.#stream.getTracks()) track.stop();
    void this.#context.close();
  }
}

/**
 * @param {Source} source
 * @returns {Promise<MediaStream>}
 */
async function asked(source) {
  const devices = navigator.mediaDevices;
  if (!devices) throw new NoSound("Browsers give sound only to pages at https:// or localhost.");
  try {
    if (source === "microphone") {
      return await devices.getUserMedia({ audio: { channelCount: 1, autoGainControl: true } });
    }
    return withSound(await devices.getDisplayMedia({ audio: true, video: true }));
  } catch (error) {
    if (error instanceof DOMException) throw new NoSound(REFUSALS[error.name] ?? error.message);
    throw error;
  }
}

/**
 * Only the sound of a shared tab: its picture is of no use here.
 *
 * @param {MediaStream} shared
 */
function withSound(shared) {
  const sound = shared.getAudioTracks();
  if (!sound.length) {
    for (const track of shared.getTracks()) track.stop();
    throw new NoSound("No sound was shared. Choose a tab, and tick “Also share tab audio”.");
  }
  return shared;
}

/**
 * At 16 kHz where the browser resamples; Firefox joins no microphone to a context of another rate,
 * so there the worklet does it.
 *
 * @param {MediaStream} stream
 */
async function contextFor(stream) {
  const context = new AudioContext({ sampleRate: RATE });
  try {
    context.createMediaStreamSource(stream).disconnect();
    return context;
  } catch {
    await context.close();
    return new AudioContext();
  }
}

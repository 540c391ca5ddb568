// Runs on the audio thread: every channel to one, 16 kHz, in pieces of a tenth of a second.

import { Resampler } from "./resampler.js";

const RATE = 16000;
const PIECE = RATE / 10;

class Capture extends AudioWorkletProcessor {
  #resampler = sampleRate === RATE ? null : new Resampler(sampleRate, RATE);
  #piece = new Float32Array(PIECE);
  #filled = 0;

  /** @param {Float32Array[][]} inputs */
  process([channels]) {
    if (channels?.length) {
      const mono = mixed(channels);
      this.#collect(this.#resampler ? this.#resampler.push(mono) : mono);
    }
    return true;
  }

  /** @param {Float32Array} samples */
  #collect(samples) {
    for (let done = 0; done < samples.length;) {
      const part = samples.subarray(done, done + PIECE - this.#filled);
      this.#piece.set(part, this.#filled);
      this.#filled += part.length;
      done += part.length;
      if (this.#filled === PIECE) {
        this.port.postMessage(this.#piece, [this.#piece.buffer]);
        this.#piece = new Float32Array(PIECE);
        this.#filled = 0;
      }
    }
  }
}

/** @param {Float32Array[]} channels */
function mixed(channels) {
  const mono = new Float32Array(/** @type {Float32Array} */ (channels[0]).length);
  for (const channel of channels) {
    for (let i = 0; i < mono.length; i++)
      mono[i] = (mono[i] ?? 0) + (channel[i] ?? 0) / channels.length;
  }
  return mono;
}

registerProcessor("capture", Capture);

// Sound at any rate to 16 kHz, piece by piece: a windowed sinc, for browsers that do not resample.

/** Zero crossings of the sinc on each side; more would only sharpen the edge at 8 kHz. */
const CROSSINGS = 24;

/** Entries of the table between two zero crossings; what lies between is interpolated. */
const STEPS = 256;

/** The pass band's end, as a share of the lower Nyquist frequency: the rest is for the slope. */
const ROLL_OFF = 0.92;

export class Resampler {
  #ratio;
  #scale;
  #reach;
  #table;
  /** @type {Float32Array} Input that is still needed; `#offset` is the place of its first sample. */
  #held;
  #offset;
  #made = 0;

  /**
   * @param {number} from Hz
   * @param {number} to Hz
   */
  constructor(from, to) {
    this.#ratio = from / to;
    this.#scale = Math.min(1, to / from) * ROLL_OFF;
    this.#reach = Math.ceil(CROSSINGS / this.#scale);
    this.#table = kernel();
    this.#held = new Float32Array(this.#reach); // silence before the first sample
    this.#offset = -this.#reach;
  }

  /**
   * The samples that can be made now; the last few wait for what follows.
   *
   * @param {Float32Array} input
   * @returns {Float32Array}
   */
  push(input) {
    const held = new Float32Array(this.#held.length + input.length);
    held.set(this.#held);
    held.set(input, this.#held.length);
    const end = this.#offset + held.length;
    const count = Math.max(0, Math.floor((end - 1 - this.#reach) / this.#ratio) + 1 - this.#made);
    const output = new Float32Array(count);
    for (let i = 0; i < count; i++) output[i] = this.#at((this.#made + i) * this.#ratio, held);
    this.#made += count;
    const needed = Math.floor(this.#made * this.#ratio) - this.#reach;
    this.#held = held.slice(Math.max(0, needed - this.#offset));
    this.#offset = end - this.#held.length;
    return output;
  }

  /**
   * The sound at one place between the samples.
   *
   * @param {number} place in input samples
   * @param {Float32Array} held
   */
  #at(place, held) {
    const first = Math.max(this.#offset, Math.ceil(place - this.#reach));
    const last = Math.min(this.#offset + held.length - 1, Math.floor(place + this.#reach));
    let sum = 0;
    for (let i = first; i <= last; i++) {
      const distance = Math.abs(i - place) * this.#scale * STEPS;
      const step = Math.floor(distance);
      const near = this.#table[step] ?? 0;
      sum +=
        (held[i - this.#offset] ?? 0) *
        (near + (distance - step) * ((this.#table[step + 1] ?? 0) - near));
    }
    return sum * this.#scale;
  }
}

/** One side of the sinc under a Blackman window. */
function kernel() {
  const table = new Float32Array(CROSSINGS * STEPS + 2);
  for (let i = 0; i <= CROSSINGS * STEPS; i++) {
    const x = i / STEPS;
    const phase = Math.PI * (1 + x / CROSSINGS);
    const window = 0.42 - 0.5 * Math.cos(phase) + 0.08 * Math.cos(2 * phase);
    table[i] = window * (x ? Math.sin(Math.PI * x) / (Math.PI * x) : 1);
  }
  return table;
}

// How long from speech to text on the screen.

/** How many of the newest measurements count. */
const KEPT = 20;

/** Seconds by which a text must end later to be a new one: an update may time the same word anew. */
const NEW_S = 0.2;

/** Seconds of sound whose moments are remembered. */
const MEMORY_S = 120;

/**
 * Measures from the moment when the browser handed over the end of a text's last word, as the model
 * has measured it, to the moment when that text has been painted.
 */
export class Delay {
  /** @type {{end: number, at: number}[]} */
  #moments = [];
  /** @type {number[]} */
  #measured = [];
  #newest = -Infinity;

  /**
   * Sound up to `end` seconds of the session has come.
   *
   * @param {number} end
   * @param {number} at milliseconds
   */
  captured(end, at) {
    this.#moments.push({ end, at });
    while ((this.#moments[0]?.end ?? end) < end - MEMORY_S) this.#moments.shift();
  }

  /**
   * Text whose last word was over at `end` is on the screen. Only the first such text counts.
   *
   * @param {number} end
   * @param {number} at milliseconds
   */
  shown(end, at) {
    if (end < this.#newest + NEW_S) return;
    this.#newest = end;
    const moment = this.#moments.find((each) => each.end >= end - 1e-6) ?? this.#moments.at(-1);
    if (!moment) return;
    this.#measured.push(Math.max(0, at - moment.at));
    if (this.#measured.length > KEPT) this.#measured.shift();
  }

  /** The median in seconds; null before the first text. */
  get median() {
    if (!this.#measured.length) return null;
    const sorted = [...this.#measured].sort((a, b) => a - b);
    return /** @type {number} */ (sorted[sorted.length >> 1]) / 1000;
  }
}

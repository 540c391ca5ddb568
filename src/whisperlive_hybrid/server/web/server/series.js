// Measurements of the last minutes, and the line that they draw.

export class Series {
  /** @type {{at: number, value: number}[]} */
  #points = [];

  /** @param {number} spanS seconds that are kept */
  constructor(spanS) {
    this.spanS = spanS;
  }

  /**
   * @param {number} at seconds
   * @param {number} value
   */
  add(at, value) {
    this.#points.push({ at, value });
    while ((this.#points[0]?.at ?? at) < at - this.spanS) this.#points.shift();
  }

  /** The newest; null before the first. */
  get last() {
    return this.#points.at(-1)?.value ?? null;
  }

  get most() {
    return this.#points.reduce((most, { value }) => Math.max(most, value), 0);
  }

  /**
   * The points of a line in a box, the newest at its right edge, zero at its foot.
   *
   * @param {number} width
   * @param {number} height
   * @param {number} top the value at the upper edge
   * @returns {[number, number][]}
   */
  line(width, height, top) {
    const now = this.#points.at(-1)?.at ?? 0;
    return this.#points.map(({ at, value }) => [
      rounded(width * (1 - (now - at) / this.spanS)),
      rounded(height * (1 - value / top)),
    ]);
  }
}

/**
 * A round number that is not below `value`, nor below `least`: 0.1, 0.2, 0.5, 1, 2, 5, 10, …
 *
 * @param {number} value
 * @param {number} least
 */
export function roundTop(value, least) {
  if (value <= least) return least;
  const power = 10 ** Math.floor(Math.log10(value));
  return /** @type {number} */ ([1, 2, 5, 10].find((each) => each * power >= value)) * power;
}

/** @param {number} number */
function rounded(number) {
  return Math.round(number * 10) / 10;
}

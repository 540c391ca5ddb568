// Sound that the server has not yet turned into text for good: kept, within a bound, to be sent again.

/** @typedef {{start: number, samples: Int16Array}} Piece `start` counts samples from the beginning. */

export class Backlog {
  /** @type {Piece[]} */
  #pieces = [];
  #end = 0;
  #sent = 0;
  #lost = 0;

  /** @param {number} capacity samples */
  constructor(capacity) {
    this.capacity = capacity;
  }

  /** Samples so far. */
  get end() {
    return this.#end;
  }

  /** Samples that were thrown away unsent since this was asked last: the bound was reached. */
  takeLost() {
    const lost = this.#lost;
    this.#lost = 0;
    return lost;
  }

  /** @param {Int16Array} samples */
  push(samples) {
    this.#pieces.push({ start: this.#end, samples });
    this.#end += samples.length;
    const bound = this.#end - this.capacity;
    this.#lost += Math.max(0, bound - Math.max(this.#sent, this.#begin));
    this.#drop(bound);
  }

  /**
   * Forget what has become text that never changes.
   *
   * @param {number} sample up to which
   */
  settle(sample) {
    this.#drop(sample);
  }

  /** A new connection knows nothing: begin again with the oldest sample. Says which one that is. */
  rewind() {
    this.#sent = this.#begin;
    return this.#sent;
  }

  /**
   * What has not been sent on this connection; after this it has.
   *
   * @returns {Int16Array[]}
   */
  takeUnsent() {
    const unsent = this.#pieces.flatMap(({ start, samples }) => {
      const from = Math.max(0, this.#sent - start);
      return from < samples.length ? [samples.subarray(from)] : [];
    });
    this.#sent = this.#end;
    return unsent;
  }

  get #begin() {
    return this.#pieces[0]?.start ?? this.#end;
  }

  /** @param {number} bound */
  #drop(bound) {
    let whole = 0;
    while (this.#endOf(whole) <= bound) whole++;
    this.#pieces.splice(0, whole);
    const first = this.#pieces[0];
    if (first && first.start < bound) {
      this.#pieces[0] = { start: bound, samples: first.samples.subarray(bound - first.start) };
    }
  }

  /** @param {number} index */
  #endOf(index) {
    const piece = this.#pieces[index];
    return piece ? piece.start + piece.samples.length : Infinity;
  }
}

// The text of a live session: what is final stays, over all of its connections.

/** @typedef {import("./protocol.js").Caption} Caption */
/** @typedef {{start: number, end: number, text: string}} Line Seconds since the session began. */
/** @typedef {{stable: string, rest: string}} Tentative What will hardly change, and what may. */

export class Captions {
  /** @type {Line[]} */
  lines = [];
  /** @type {Tentative | null} */
  tentative = null;

  #offset = 0;
  #doneMs = 0; // the end of the last final segment, on the connection's clock

  /**
   * A connection begins; its times count from `offset`, in seconds of the session.
   *
   * @param {number} offset
   */
  connect(offset) {
    this.#offset = offset;
    this.#doneMs = 0;
    this.tentative = null;
  }

  /**
   * Take in the segments of a message.
   *
   * @param {readonly Caption[]} captions
   * @returns {{added: Line[], spoken: number | null}} the lines that are new, and when the last word was over
   */
  hear(captions) {
    const added = captions
      .filter((each) => each.completed && ms(each.start) >= this.#doneMs)
      .map((each) => this.#line(each));
    const last = captions.at(-1);
    for (const each of captions)
      if (each.completed) this.#doneMs = Math.max(this.#doneMs, ms(each.end));
    this.lines.push(...added);
    this.tentative = last && !last.completed ? parted(last) : null;
    return { added, spoken: last && last.spoken !== null ? this.#offset + last.spoken : null };
  }

  /** Up to where the text is final, in seconds of the session. */
  get settled() {
    return this.#offset + this.#doneMs / 1000;
  }

  /** Begin with an empty sheet; the connection goes on. */
  clear() {
    this.lines = [];
  }

  /** Everything that is final, as segments for a file. */
  get segments() {
    return this.lines.map((line) => ({ ...line, text: ` ${line.text}` }));
  }

  /**
   * @param {Caption} caption
   * @returns {Line}
   */
  #line({ start, end, text }) {
    return { start: this.#offset + start, end: this.#offset + end, text: text.trim() };
  }
}

/**
 * @param {Caption} caption
 * @returns {Tentative}
 */
function parted({ text, stable }) {
  const [whole, sure] = [text.trim(), stable.trim()];
  return whole.startsWith(sure)
    ? { stable: sure, rest: whole.slice(sure.length) }
    : { stable: "", rest: whole };
}

/** @param {number} seconds */
function ms(seconds) {
  return Math.round(seconds * 1000);
}

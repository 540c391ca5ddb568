// A transcript: what the server heard, what somebody has made of it, and both as files.

import { joinedText, plainText, srt, vtt } from "./formats.js";
import { survivors } from "./matching.js";

/** @typedef {import("./matching.js").Word} Word */
/** @typedef {{start: number, end: number, text: string, words: Word[]}} Segment */
/** @typedef {{text: string, word: Word | null}} Piece */
/** @typedef {{duration: number, segments?: {start: number, end: number, text: string}[], words?: {word: string, start: number, end: number}[]}} VerboseBody */

export const FORMATS = /** @type {const} */ (["txt", "srt", "vtt", "json"]);

const SPOKEN = /[\p{L}\p{N}]/u;

export class Transcript {
  /** @type {VerboseBody} */
  #body;
  /** @type {Segment[]} */
  #heard;
  /** @type {Map<number, string>} */
  #edits;

  /**
   * @param {string} written the server's verbose_json, as it came
   * @param {Map<number, string>} [edits] texts by the number of their segment
   */
  constructor(written, edits = new Map()) {
    this.written = written;
    this.#body = JSON.parse(written);
    this.#heard = withWords(this.#body.segments ?? asOne(this.#body), this.#body.words ?? []);
    this.#edits = new Map([...edits].filter(([index]) => index < this.#heard.length));
  }

  /** Seconds of the recording. */
  get duration() {
    return this.#body.duration;
  }

  get edits() {
    return new Map(this.#edits);
  }

  get isEdited() {
    return this.#edits.size > 0;
  }

  /** @returns {Segment[]} As edited. */
  get segments() {
    return this.#heard.map((_, index) => this.segment(index));
  }

  /**
   * One segment, as edited; its words are those that were measured and are still there.
   *
   * @param {number} index
   * @returns {Segment}
   */
  segment(index) {
    const heard = /** @type {Segment} */ (this.#heard[index]);
    const text = this.#edits.get(index);
    return text === undefined
      ? heard
      : { ...heard, text, words: survivors(heard.text, heard.words, text) };
  }

  /**
   * Put another text in place of what was heard; the old one takes the edit back.
   *
   * @param {number} index
   * @param {string} text
   */
  edit(index, text) {
    const heard = /** @type {Segment} */ (this.#heard[index]).text;
    const line = text.trim().replace(/\s+/gu, " ");
    if (line === heard.trim()) this.#edits.delete(index);
    // Segments are put together without anything between them: the space before a text is part of it.
    else this.#edits.set(index, line && heard.startsWith(" ") ? ` ${line}` : line);
  }

  /**
   * The file of a format.
   *
   * @param {typeof FORMATS[number]} format
   * @returns {string}
   */
  file(format) {
    const writers = { txt: plainText, srt, vtt, json: () => this.#json() };
    return writers[format](this.segments);
  }

  /** The server's own bytes, or the same body with the edited text. */
  #json() {
    if (!this.isEdited) return this.written;
    const { segments, words } = this.#body;
    const body = { ...this.#body, text: joinedText(this.segments) };
    if (segments)
      body.segments = segments.map((each, index) => ({ ...each, text: this.segment(index).text }));
    if (words) {
      const left = this.segments.flatMap((each) => each.words);
      body.words = left.map(({ text, start, end }) => ({ word: text, start, end }));
    }
    return JSON.stringify(body);
  }
}

/**
 * A segment cut into its words and what is between them.
 *
 * @param {Segment} segment
 * @returns {Piece[]}
 */
export function pieces(segment) {
  /** @type {Piece[]} */
  const cut = [];
  let done = 0;
  for (const word of segment.words) {
    if (word.at > done) cut.push({ text: segment.text.slice(done, word.at), word: null });
    done = word.at + word.text.length;
    cut.push({ text: segment.text.slice(word.at, done), word });
  }
  if (done < segment.text.length) cut.push({ text: segment.text.slice(done), word: null });
  return cut;
}

/**
 * Give each segment its words. The server lists them apart, in order, without the punctuation
 * around them; so between one and the next there is nothing that is spoken.
 *
 * @param {readonly {start: number, end: number, text: string}[]} segments
 * @param {readonly {word: string, start: number, end: number}[]} words
 * @returns {Segment[]}
 */
export function withWords(segments, words) {
  let next = 0;
  return segments.map((segment) => {
    /** @type {Word[]} */
    const own = [];
    for (let from = 0; next < words.length; next++) {
      const { word, start, end } = /** @type {{word: string, start: number, end: number}} */ (
        words[next]
      );
      const at = segment.text.indexOf(word, from);
      if (at < 0 || SPOKEN.test(segment.text.slice(from, at))) break;
      own.push({ text: word, start, end, at });
      from = at + word.length;
    }
    return { start: segment.start, end: segment.end, text: segment.text, words: own };
  });
}

/**
 * For jobs that asked for words alone: all of it in one segment.
 *
 * @param {VerboseBody & {text?: string}} body
 */
function asOne(body) {
  const { text = "", words = [] } = body;
  return text
    ? [{ start: words[0]?.start ?? 0, end: words.at(-1)?.end ?? body.duration, text }]
    : [];
}

// Which words of a text are still there after somebody has edited it.

/**
 * A measured word; `at` is its place in the text of its segment, times are in seconds.
 *
 * @typedef {{text: string, start: number, end: number, at: number}} Word
 */

/** @typedef {{text: string, at: number}} Unit */

/** Scripts that put no spaces between words. */
const UNSPACED = ["Han", "Hira", "Kana", "Thai", "Lao", "Khmr", "Mymr", "Tibt"]
  .map((script) => `\\p{Script=${script}}`)
  .join("");

/** What is compared: a run of letters and digits, or a single character where there are no spaces. */
const UNIT = new RegExp(`[${UNSPACED}]|(?:(?![${UNSPACED}])[\\p{L}\\p{N}\\p{M}])+`, "gu");

/**
 * The words that an edit has left alone, at their new places. Nobody has measured when the others
 * are said, so they have no time.
 *
 * @param {string} before
 * @param {readonly Word[]} words of `before`, in order
 * @param {string} after
 * @returns {Word[]}
 */
export function survivors(before, words, after) {
  if (before === after) return [...words];
  const [old, young] = [units(before), units(after)];
  const places = matched(old, young);
  return words.flatMap((word) => {
    const own = old.findIndex((unit) => unit.at >= word.at);
    const first = old[own];
    const place = places[own] ?? -1;
    const found = young[place];
    if (!first || !found) return [];
    const at = found.at - (first.at - word.at);
    const isThere = after.startsWith(word.text, at) && isUncut(word, at, young);
    return isThere ? [{ ...word, at }] : [];
  });
}

/**
 * Whether a word ends where a unit does, and is not the beginning of a longer one.
 *
 * @param {Word} word
 * @param {number} at
 * @param {readonly Unit[]} young
 */
function isUncut(word, at, young) {
  const end = at + word.text.length;
  return !young.some((unit) => unit.at < end && unit.at + unit.text.length > end);
}

/** @param {string} text @returns {Unit[]} */
function units(text) {
  return [...text.matchAll(UNIT)].map((found) => ({ text: found[0], at: found.index }));
}

/**
 * For each unit of `old` the number of the one in `young` that it became, or -1: a longest common
 * subsequence.
 *
 * @param {readonly Unit[]} old
 * @param {readonly Unit[]} young
 * @returns {Int32Array}
 */
function matched(old, young) {
  const width = young.length + 1;
  const longest = new Int32Array((old.length + 1) * width);
  /** @param {number} i @param {number} j */
  const from = (i, j) => /** @type {number} */ (longest[i * width + j]);
  /** @param {number} i @param {number} j */
  const areSame = (i, j) => old[i]?.text === young[j]?.text;
  for (let i = old.length - 1; i >= 0; i--) {
    for (let j = young.length - 1; j >= 0; j--) {
      const apart = Math.max(from(i + 1, j), from(i, j + 1));
      longest[i * width + j] = areSame(i, j) ? from(i + 1, j + 1) + 1 : apart;
    }
  }
  const places = new Int32Array(old.length).fill(-1);
  for (let i = 0, j = 0; i < old.length && j < young.length;) {
    if (areSame(i, j)) places[i++] = j++;
    else if (from(i + 1, j) >= from(i, j + 1)) i++;
    else j++;
  }
  return places;
}

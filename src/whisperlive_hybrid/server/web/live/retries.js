// When a connection ends: whether to try again, when, and what to say about it.

/** @typedef {import("./protocol.js").Said} Said */
/**
 * `tries` in a row without an answer; `isWelcome` unless the server turns this key away.
 *
 * @typedef {{code: number, last: Said | null, tries: number, isWelcome: boolean}} Ending
 */
/** @typedef {{retryInMs: number | null, words: string}} Verdict */

const FIRST_MS = 500;
const LONGEST_MS = 15_000;

const RESTART = 1012;

const WANTS_KEY =
  "The server asks for a valid key: enter it in the room of the server, then start again.";

/**
 * What to do after an ending that nobody wished for.
 *
 * @param {Ending} ending
 * @returns {Verdict}
 */
export function afterEnding({ code, last, tries, isWelcome }) {
  if (last?.kind === "error")
    return { retryInMs: null, words: `The server refused: ${last.message}` };
  if (!isWelcome) return { retryInMs: null, words: WANTS_KEY };
  if (last?.kind === "wait") {
    const minutes = Math.max(1, Math.ceil(last.minutes));
    const about =
      code === RESTART
        ? "The server is restarting."
        : `The server is full; it expects room in about ${minutes} min.`;
    return { retryInMs: backoff(tries + 2), words: `${about} Trying again.` };
  }
  if (last?.kind === "time-up")
    return { retryInMs: 0, words: "The time limit of a connection was reached; connecting anew." };
  if (code === RESTART)
    return {
      retryInMs: backoff(tries),
      words: "The server is restarting. Nothing is lost; trying again.",
    };
  return {
    retryInMs: backoff(tries),
    words: "The connection was lost. Your sound is kept; trying again.",
  };
}

/**
 * Longer each time, up to a bound.
 *
 * @param {number} tries
 */
export function backoff(tries) {
  return Math.min(LONGEST_MS, FIRST_MS * 2 ** tries);
}

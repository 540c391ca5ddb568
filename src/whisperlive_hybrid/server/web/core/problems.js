// What went wrong, in words: the server's own where it said something.

export class Problem extends Error {
  /**
   * @param {string} message
   * @param {number} status of HTTP; 0 where no answer came
   * @param {string | null} code the server's
   */
  constructor(message, status = 0, code = null) {
    super(message);
    this.name = "Problem";
    this.status = status;
    this.code = code;
  }

  /** Whether a key is missing or wrong. */
  get wantsKey() {
    return this.status === 401;
  }
}

/** @type {Record<number, string>} */
const HINTS = {
  401: "Enter a valid key: the server asks for one.",
  413: "The file is larger than this server accepts.",
  429: "The server is busy.",
  503: "The server is starting or stopping.",
  507: "The server's disk is full.",
};

/**
 * The problem behind an answer that is no success.
 *
 * @param {number} status
 * @param {string} body
 * @param {string | null} retryAfter seconds, as the header says
 * @returns {Problem}
 */
export function problemOf(status, body, retryAfter = null) {
  const error = errorIn(body);
  const said = error.message || HINTS[status] || `The server answered with status ${status}.`;
  const seconds = Number(retryAfter);
  const later = retryAfter && seconds > 0 ? ` Try again in ${Math.ceil(seconds)} s.` : "";
  return new Problem(said + later, status, error.code);
}

/** The problem where no answer came at all. */
export function unreachable() {
  return new Problem("The server cannot be reached. Is it running, and is the network up?");
}

/**
 * @param {string} body
 * @returns {{message: string, code: string | null}}
 */
function errorIn(body) {
  try {
    const { error } = JSON.parse(body);
    return { message: String(error.message), code: error.code ?? null };
  } catch {
    return { message: "", code: null }; // a proxy's page, or nothing
  }
}

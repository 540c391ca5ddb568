// Edited text, kept in this browser: by job and file, the newest few.

/** @typedef {{at: number, texts: [number, string][]}} Kept */

const PREFIX = "edits:";

/** Transcripts whose edits are kept. */
const MOST = 50;

export class Edits {
  /** @param {Storage} storage */
  constructor(storage) {
    this.#storage = storage;
  }

  #storage;

  /**
   * @param {string} job
   * @param {number} file
   * @returns {Map<number, string>}
   */
  of(job, file) {
    const written = this.#storage.getItem(name(job, file));
    return new Map(written ? /** @type {Kept} */ (JSON.parse(written)).texts : []);
  }

  /**
   * Keep the edits of a transcript; says whether the browser had room for them.
   *
   * @param {string} job
   * @param {number} file
   * @param {Map<number, string>} texts
   * @param {number} now milliseconds
   */
  keep(job, file, texts, now) {
    if (!texts.size) {
      this.#storage.removeItem(name(job, file));
      return true;
    }
    const written = JSON.stringify({ at: now, texts: [...texts] });
    for (;;) {
      const isKept = this.#tryKeeping(name(job, file), written);
      if (isKept && this.#names().length <= MOST) return true;
      if (!this.#forgetOldest(name(job, file))) return isKept;
    }
  }

  /** @param {string} key @param {string} written */
  #tryKeeping(key, written) {
    try {
      this.#storage.setItem(key, written);
      return true;
    } catch {
      return false; // no room
    }
  }

  /** @param {string} kept */
  #forgetOldest(kept) {
    const others = this.#names().filter((each) => each !== kept);
    /** @param {string} each */
    const age = (each) => /** @type {Kept} */ (JSON.parse(this.#storage.getItem(each) ?? "{}")).at;
    const oldest = others.sort((a, b) => age(a) - age(b))[0];
    if (oldest) this.#storage.removeItem(oldest);
    return Boolean(oldest);
  }

  #names() {
    const all = Array.from(
      { length: this.#storage.length },
      (_, index) => this.#storage.key(index) ?? "",
    );
    return all.filter((each) => each.startsWith(PREFIX));
  }
}

/** @param {string} job @param {number} file */
function name(job, file) {
  return `${PREFIX}${job}:${file}`;
}

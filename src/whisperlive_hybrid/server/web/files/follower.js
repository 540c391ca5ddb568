// Follows the jobs that are not over: a few streams of events, and the list for all others.

import { isOver } from "../api/jobs.js";

/** @typedef {import("../api/jobs.js").Job} Job */

/** Browsers open six connections to a server: streams must leave some for everything else. */
const STREAMS = 3;

export class Follower {
  /** @type {Map<string, AbortController>} */
  #streams = new Map();

  /**
   * @param {import("../api/jobs.js").Jobs} jobs
   * @param {(job: Job, text: string) => void} onNews
   * @param {(id: string) => void} onEnd a stream has ended, so another may begin
   */
  constructor(jobs, onNews, onEnd) {
    this.#jobs = jobs;
    this.#onNews = onNews;
    this.#onEnd = onEnd;
  }

  #jobs;
  #onNews;
  #onEnd;

  /**
   * Follow those that come first: what runs, then what has waited longest.
   *
   * @param {readonly Job[]} newestFirst
   */
  follow(newestFirst) {
    const open = newestFirst.filter((job) => !isOver(job)).reverse();
    const inOrder = [
      ...open.filter((job) => job.status === "running"),
      ...open.filter((job) => job.status === "queued"),
    ];
    for (const job of inOrder) {
      if (this.#streams.size >= STREAMS) return;
      if (!this.#streams.has(job.id)) void this.#stream(job.id);
    }
  }

  /** @param {string} id */
  stop(id) {
    this.#streams.get(id)?.abort();
  }

  /** @param {string} id */
  async #stream(id) {
    const ending = new AbortController();
    this.#streams.set(id, ending);
    try {
      await this.#jobs.watch(id, this.#onNews, ending.signal);
    } catch {
      // Deleted meanwhile, or a key is asked for: the list tells, which is asked for next.
    } finally {
      this.#streams.delete(id);
      this.#onEnd(id);
    }
  }
}

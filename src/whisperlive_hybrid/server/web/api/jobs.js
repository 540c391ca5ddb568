// The jobs of the server: hand in, list, watch, cancel, delete, and their results.

import { Problem } from "../core/problems.js";

/**
 * A job as /v1/jobs tells it.
 *
 * @typedef {object} Job
 * @property {string} id
 * @property {"queued" | "running" | "completed" | "failed" | "cancelled"} status
 * @property {number} created_at Unix seconds
 * @property {string | null} language
 * @property {string} model
 * @property {string} task
 * @property {{done: number, total: number | null}} progress seconds of sound
 * @property {string} text
 * @property {{message: string} | null} error
 * @property {{index: number, name: string, source: string, status: string, error: {message: string} | null}[]} files
 */

const JOBS = "v1/jobs";

/** How many of the newest jobs are shown. */
const SHOWN = 30;

/** Between two tries to watch a job whose stream has broken off. */
const AGAIN_MS = 2000;

/** @param {Job} job */
export function isOver(job) {
  return job.status !== "queued" && job.status !== "running";
}

export class Jobs {
  /** @param {import("./client.js").Client} client */
  constructor(client) {
    this.#client = client;
  }

  #client;

  /**
   * @param {FormData} form
   * @param {(share: number) => void} onProgress
   * @param {AbortSignal} signal
   * @returns {Promise<Job>}
   */
  submit(form, onProgress, signal) {
    return this.#client.upload(JOBS, form, onProgress, signal);
  }

  /** @returns {Promise<Job[]>} */
  async newest() {
    return (await this.#client.json(`${JOBS}?limit=${SHOWN}`)).data;
  }

  /** @param {string} id @returns {Promise<Job>} */
  one(id) {
    return this.#client.json(`${JOBS}/${id}`);
  }

  /** @param {string} id @returns {Promise<Job>} */
  cancel(id) {
    return this.#client.json(`${JOBS}/${id}/cancel`, { method: "POST" });
  }

  /** @param {string} id */
  async remove(id) {
    await this.#client.request(`${JOBS}/${id}`, { method: "DELETE" });
  }

  /**
   * The verbose_json of one file, as it was written.
   *
   * @param {string} id
   * @param {number} file
   * @returns {Promise<string>}
   */
  async result(id, file) {
    return (
      await this.#client.request(`${JOBS}/${id}/result?format=verbose_json&file=${file}`)
    ).text();
  }

  /**
   * Follow a job to its end, over interruptions; a stream that begins anew tells all of the text again.
   *
   * @param {string} id
   * @param {(job: Job, text: string) => void} onNews
   * @param {AbortSignal} signal
   */
  async watch(id, onNews, signal) {
    while (!signal.aborted && !(await this.#watchOnce(id, onNews, signal))) {
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }

  /**
   * Whether the job has ended, and not only the stream.
   *
   * @param {string} id
   * @param {(job: Job, text: string) => void} onNews
   * @param {AbortSignal} signal
   */
  async #watchOnce(id, onNews, signal) {
    let text = "";
    try {
      for await (const event of this.#client.events(`${JOBS}/${id}/events`, signal)) {
        text += event.delta ?? "";
        onNews(event.job, text);
        if (event.type !== "job.progress") return true;
      }
    } catch (error) {
      // An answer of the server is final; whatever else breaks a stream off is an interruption.
      if (error instanceof Problem && error.status) throw error;
    }
    return false;
  }
}

// The room of files: hands recordings in, follows them, and opens what has become of them.

import { isOver } from "../api/jobs.js";
import { Problem } from "../core/problems.js";
import { Follower } from "./follower.js";
import { List } from "./list.js";
import { Submission } from "./submission.js";

/** @typedef {import("../api/jobs.js").Job} Job */
/** @typedef {import("./submission.js").Wish} Wish */
/**
 * @typedef {object} Means
 * @property {import("../app.js").Config} config
 * @property {import("../api/jobs.js").Jobs} jobs
 * @property {import("./reader.js").Reader} reader
 * @property {import("../ui/notices.js").Notices} notices
 * @property {(act: import("../core/snippets.js").Act) => void} onAct
 */

const REFRESH_MS = 5000;

export class FilesRoom {
  /** @type {Map<string, File>} */
  #recordings = new Map();
  /** @type {Job[]} */
  #jobs = [];
  #sending = Promise.resolve();
  #list;
  #follower;
  #submission;

  /** @param {Means} means */
  constructor(means) {
    this.#means = means;
    this.#list = new List({
      onOpen: (job) => {
        this.#open(job);
        means.reader.focus();
      },
      onCancel: (job) =>
        void this.#try(async () => this.#news(await means.jobs.cancel(job.id), "")),
      onDelete: (job) => void this.#try(() => this.#delete(job)),
    });
    this.#follower = new Follower(
      means.jobs,
      (job, text) => this.#news(job, text),
      () => void this.refresh(),
    );
    this.#submission = new Submission(means.config, (wishes) => this.#handIn(wishes));
    setInterval(() => this.#pulse(), REFRESH_MS);
  }

  #means;

  /** Ask for the list anew. */
  async refresh() {
    await this.#try(async () => {
      this.#jobs = await this.#means.jobs.newest();
      this.#list.show(this.#jobs);
      this.#follower.follow(this.#jobs);
    });
  }

  /**
   * Hand files in, as if they had been picked.
   *
   * @param {readonly File[]} files
   */
  hand(files) {
    this.#submission.hand(files);
  }

  #pulse() {
    if (document.visibilityState === "visible" && this.#jobs.some((job) => !isOver(job)))
      void this.refresh();
  }

  /** One after the other: all at once would only share the line. @param {Wish[]} wishes */
  #handIn(wishes) {
    for (const wish of wishes) {
      const ending = new AbortController();
      const row = this.#list.sending(wish.name, () => {
        ending.abort();
        row.remove();
      });
      this.#sending = this.#sending.then(() =>
        this.#send(wish, row, ending.signal, wishes.length === 1),
      );
    }
  }

  /**
   * @param {Wish} wish
   * @param {ReturnType<List["sending"]>} row
   * @param {AbortSignal} signal
   * @param {boolean} isOpened
   */
  async #send(wish, row, signal, isOpened) {
    if (signal.aborted) return;
    try {
      const job = await this.#means.jobs.submit(formOf(wish), row.progress, signal);
      if (wish.file) this.#recordings.set(job.id, wish.file);
      row.done(job);
      this.#jobs = [job, ...this.#jobs];
      this.#follower.follow(this.#jobs);
      this.#means.onAct({
        kind: "job",
        source: wish.file ? { file: wish.file.name } : { url: wish.url ?? "" },
        fields: wish.fields,
      });
      if (isOpened) this.#open(job);
    } catch (error) {
      if (error instanceof Problem) row.fail(error.message);
      else if (!signal.aborted) throw error;
    }
  }

  /** @param {Job} job @param {string} text */
  #news(job, text) {
    this.#jobs = this.#jobs.map((each) => (each.id === job.id ? job : each));
    this.#list.update(job);
    this.#means.reader.news(job, text);
  }

  /** @param {Job} job */
  #open(job) {
    this.#list.mark(job.id);
    this.#means.reader.open(job, this.#recordings.get(job.id) ?? null);
  }

  /** @param {Job} job */
  async #delete(job) {
    await this.#means.jobs.remove(job.id);
    this.#follower.stop(job.id);
    this.#recordings.delete(job.id);
    if (this.#means.reader.openId === job.id) this.#means.reader.close();
    this.#means.notices.tell("Deleted.");
    await this.refresh();
  }

  /** @param {() => Promise<unknown>} act */
  async #try(act) {
    try {
      await act();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#means.notices.tell(error.message, "failed");
    }
  }
}

/** @param {Wish} wish */
function formOf(wish) {
  const form = new FormData();
  for (const [name, value] of wish.fields) form.append(name, value);
  if (wish.file) form.append("file", wish.file);
  else form.append("url", wish.url ?? "");
  return form;
}

// The list of recordings: those that are being sent, and the jobs of the server.

import { isOver } from "../api/jobs.js";
import { ago, clock } from "../core/times.js";
import { button, make, part, show, write } from "../ui/dom.js";

/** @typedef {import("../api/jobs.js").Job} Job */
/** @typedef {{onOpen: (job: Job) => void, onCancel: (job: Job) => void, onDelete: (job: Job) => void}} Listener */

/** @type {Record<Job["status"], string>} */
const STATUS = {
  queued: "Waiting",
  running: "Reading",
  completed: "Done",
  failed: "Failed",
  cancelled: "Cancelled",
};

/** What one row says. */
/** @typedef {{name: string, status: string, mark: string, meta: string, share: number | null, text: string, error: string}} RowText */

export class List {
  #place = part("jobs", HTMLOListElement);
  #empty = part("jobs-empty", HTMLElement);
  /** @type {Map<string, Row>} */
  #rows = new Map();

  /** @param {Listener} listener */
  constructor(listener) {
    this.#listener = listener;
  }

  #listener;

  /**
   * A recording that is being sent, at the top.
   *
   * @param {string} name
   * @param {() => void} onCancel
   * @returns {{progress: (share: number) => void, fail: (words: string) => void, done: (job: Job) => void, remove: () => void}}
   */
  sending(name, onCancel) {
    const row = new Row();
    const text = {
      name,
      status: "Sending",
      mark: "sending",
      meta: "",
      share: /** @type {number | null} */ (0),
      text: "",
      error: "",
    };
    row.show(text, [button("Cancel", onCancel, act(`Cancel ${name}`))]);
    this.#place.prepend(row.element);
    show(this.#empty, false);
    return {
      progress: (share) =>
        row.write({ ...text, share, status: share < 1 ? "Sending" : "Handing in" }),
      fail: (error) =>
        row.show({ ...text, status: "Failed", mark: "failed", share: null, error }, [
          button("Dismiss", () => this.#drop(row), act(`Dismiss ${name}`)),
        ]),
      done: (job) => this.#adopt(row, job),
      remove: () => this.#drop(row),
    };
  }

  /**
   * The newest jobs, newest first.
   *
   * @param {readonly Job[]} jobs
   */
  show(jobs) {
    const known = new Set(jobs.map((job) => job.id));
    for (const [id, row] of this.#rows) {
      if (!known.has(id)) {
        row.element.remove();
        this.#rows.delete(id);
      }
    }
    let older = null;
    for (const job of [...jobs].reverse()) older = this.update(job, older);
    show(this.#empty, !this.#place.children.length);
  }

  /**
   * News of a job.
   *
   * @param {Job} job
   * @param {Element | null} [before] where its row goes if it has none yet; at the top if left out
   * @returns {Element} its row
   */
  update(job, before = this.#place.firstElementChild) {
    const row = this.#rows.get(job.id) ?? new Row();
    if (!row.element.isConnected) this.#place.insertBefore(row.element, before);
    this.#rows.set(job.id, row);
    row.show(told(job), this.#acts(job), () => this.#listener.onOpen(job), job.status);
    return row.element;
  }

  /** @param {string} id of the job that is open */
  mark(id) {
    for (const [each, row] of this.#rows) row.element.classList.toggle("chosen", each === id);
  }

  /** @param {Row} row @param {Job} job */
  #adopt(row, job) {
    this.#rows.get(job.id)?.element.remove();
    this.#rows.set(job.id, row);
    this.update(job);
  }

  /** @param {Row} row */
  #drop(row) {
    row.element.remove();
    show(this.#empty, !this.#place.children.length);
  }

  /** @param {Job} job */
  #acts(job) {
    const name = nameOf(job);
    if (isOver(job))
      return [button("Delete", () => this.#listener.onDelete(job), act(`Delete ${name}`))];
    return [button("Cancel", () => this.#listener.onCancel(job), act(`Cancel ${name}`))];
  }
}

/** One recording of the list. What does not change keeps its elements, and so its focus. */
class Row {
  #name = make("span", { class: "job-name" });
  #open = make("button", { type: "button", class: "job-open" }, this.#name);
  #status = make("span", { class: "job-status" });
  #meta = make("span", { class: "job-meta faint numbers" });
  #bar = make("progress", { max: "1" });
  #text = make("p", { class: "job-text", dir: "auto" });
  #error = make("p", { class: "failed" });
  #acts = make("div", { class: "job-acts" });
  #kind = "";
  #onOpen = () => {};
  element = make(
    "li",
    { class: "job" },
    this.#open,
    make("p", { class: "job-line" }, this.#status, this.#meta),
    this.#bar,
    this.#text,
    this.#error,
    this.#acts,
  );

  constructor() {
    this.#open.addEventListener("click", () => this.#onOpen());
  }

  /**
   * @param {RowText} text
   * @param {HTMLElement[]} acts
   * @param {(() => void) | null} [onOpen]
   * @param {string} [kind] the acts are renewed when it changes
   */
  show(text, acts, onOpen = null, kind = text.mark) {
    this.#open.disabled = !onOpen;
    this.#onOpen = onOpen ?? (() => {});
    if (kind !== this.#kind) {
      const hadFocus = this.#acts.contains(document.activeElement);
      this.#acts.replaceChildren(...acts);
      if (hadFocus) this.#open.focus();
      this.#kind = kind;
    }
    this.write(text);
  }

  /** @param {RowText} text */
  write({ name, status, mark, meta, share, text, error }) {
    this.element.dataset.status = mark;
    write(this.#name, name);
    write(
      this.#status,
      share === null || share === 0 ? status : `${status} ${Math.floor(share * 100)} %`,
    );
    write(this.#meta, meta);
    show(this.#bar, share !== null);
    this.#bar.value = share ?? 0;
    this.#bar.setAttribute("aria-label", `${status} ${name}`);
    write(this.#text, text);
    show(this.#text, text !== "");
    write(this.#error, error);
    show(this.#error, error !== "");
  }
}

/** @param {Job} job @returns {RowText} */
function told(job) {
  const { done, total } = job.progress;
  const failed = job.error ?? job.files.find((file) => file.error)?.error;
  const parts = [
    total ? clock(total) : "",
    job.language ?? "",
    ago(job.created_at, Date.now() / 1000),
  ];
  return {
    name: nameOf(job),
    status: STATUS[job.status],
    mark: job.status,
    meta: parts.filter(Boolean).join(" · "),
    share: isOver(job) ? null : total ? Math.min(1, done / total) : 0,
    text: isOver(job) ? "" : job.text,
    error: failed?.message ?? "",
  };
}

/** @param {Job} job */
export function nameOf(job) {
  const first = job.files[0]?.name || "Recording";
  return job.files.length > 1 ? `${first} and ${job.files.length - 1} more` : first;
}

/** @param {string} label */
function act(label) {
  return { class: "link small", "aria-label": label };
}

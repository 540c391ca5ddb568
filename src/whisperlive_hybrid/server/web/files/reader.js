// The open recording: its progress and growing text, then the transcript beside its sound.

import { isOver } from "../api/jobs.js";
import { Problem } from "../core/problems.js";
import { clock } from "../core/times.js";
import { FORMATS, Transcript } from "../core/transcript.js";
import { copy, save } from "../ui/clipboard.js";
import { button, make, part, show, write } from "../ui/dom.js";
import { nameOf } from "./list.js";
import { TextView } from "./text-view.js";

/** @typedef {import("../api/jobs.js").Job} Job */
/** @typedef {{jobs: import("../api/jobs.js").Jobs, edits: import("./edits.js").Edits, player: import("./player.js").Player, notices: import("../ui/notices.js").Notices}} Means */

export class Reader {
  #title = part("reader-title", HTMLElement);
  #meta = part("reader-meta", HTMLElement);
  #files = part("reader-file", HTMLSelectElement);
  #bar = part("reader-bar", HTMLProgressElement);
  #stage = part("reader-stage", HTMLElement);
  #failed = part("reader-failed", HTMLElement);
  #growing = part("growing", HTMLElement);
  #undo = part("undo-edits", HTMLButtonElement);
  #view;
  /** @type {Job | null} */
  #job = null;
  #asked = ""; // whose result is here or on its way: it is shown once, whatever else is told
  /** @type {Blob | null} */
  #sound = null;
  /** @type {Transcript | null} */
  #transcript = null;

  /** @param {Means} means */
  constructor(means) {
    this.#means = means;
    this.#view = new TextView({
      onSeek: (seconds) => means.player.goTo(seconds, true),
      onEdit: (index, text) => this.#edit(index, text),
    });
    const files = FORMATS.map((format) =>
      button(format, () => this.#download(format), { class: "button small" }),
    );
    part("downloads", HTMLElement).append(...files);
    part("copy-text", HTMLButtonElement).addEventListener("click", () => void this.#copy());
    this.#undo.addEventListener("click", () => this.#takeBack());
    this.#files.addEventListener("change", () => void this.#load());
    const picker = part("sound-picker", HTMLInputElement);
    picker.addEventListener("change", () => this.#pick(picker));
  }

  #means;

  get openId() {
    return this.#job?.id ?? "";
  }

  /**
   * Open a job.
   *
   * @param {Job} job
   * @param {Blob | null} sound its recording, if the page still has it
   */
  open(job, sound) {
    this.close();
    this.#comeIntoView();
    this.#job = job;
    this.#sound = sound;
    show(part("reader-empty", HTMLElement), false);
    show(part("reader-open", HTMLElement), true);
    const choices = job.files.map((file) =>
      make("option", { value: String(file.index) }, file.name),
    );
    this.#files.replaceChildren(...choices);
    show(part("reader-file-field", HTMLElement), choices.length > 1);
    this.news(job, job.text);
  }

  close() {
    this.#job = this.#transcript = null;
    this.#asked = "";
    this.#means.player.clear();
    this.#view.clear();
    show(part("reader-empty", HTMLElement), true);
    show(part("reader-open", HTMLElement), false);
  }

  /** Below a form and a list, as on a phone, nobody would see that something has opened. */
  #comeIntoView() {
    const reader = part("reader", HTMLElement);
    if (reader.getBoundingClientRect().top > innerHeight / 2) reader.scrollIntoView();
  }

  /** Bring the focus to the open recording. */
  focus() {
    this.#title.focus({ preventScroll: true });
  }

  /** One time of the recording, to light up its words. @param {number} seconds */
  at(seconds) {
    this.#view.at(seconds);
  }

  /**
   * What has become of a job; other jobs than the open one are passed over, and so is everything
   * that is told of a job whose result is here.
   *
   * @param {Job} job
   * @param {string} text all of it so far
   */
  news(job, text) {
    if (job.id !== this.openId || this.#asked === this.#place) return;
    this.#job = job;
    write(this.#title, nameOf(job));
    write(
      this.#meta,
      [job.model, job.task === "translate" ? "into English" : "", job.language]
        .filter(Boolean)
        .join(" · "),
    );
    const isReading = !isOver(job);
    show(part("reader-progress", HTMLElement), isReading);
    show(this.#growing, isReading && text !== "");
    write(this.#growing, text);
    this.#tellProgress(job);
    this.#tellFailure(
      job.status === "cancelled" ? "This job was cancelled." : (job.error?.message ?? ""),
    );
    for (const id of ["text-tools", "no-sound"]) show(part(id, HTMLElement), false);
    if (job.status === "completed") void this.#load();
  }

  /** @param {Job} job */
  #tellProgress({ status, progress: { done, total } }) {
    if (status === "running" && total) this.#bar.value = done / total;
    else this.#bar.removeAttribute("value");
    const share = total ? `${clock(done)} of ${clock(total)} read` : `${clock(done)} read`;
    write(this.#stage, status === "queued" ? "Waiting for its turn" : share);
  }

  /** @param {string} words */
  #tellFailure(words) {
    write(this.#failed, words);
    show(this.#failed, words !== "");
  }

  get #file() {
    return Number(this.#files.value);
  }

  /** Which file of which job is chosen. */
  get #place() {
    return `${this.openId}/${this.#file}`;
  }

  async #load() {
    const job = /** @type {Job} */ (this.#job);
    const file = this.#file;
    this.#asked = this.#place;
    try {
      const written = await this.#means.jobs.result(job.id, file);
      if (this.#asked !== this.#place) return; // another one is open by now
      this.#show(new Transcript(written, this.#means.edits.of(job.id, file)));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#view.clear();
      this.#tellFailure(error.message);
    }
  }

  /** @param {Transcript} transcript */
  #show(transcript) {
    this.#transcript = transcript;
    this.#view.show(transcript);
    this.#tellFailure(transcript.segments.length ? "" : "Nobody speaks in this recording.");
    show(part("text-tools", HTMLElement), transcript.segments.length > 0);
    show(this.#undo, transcript.isEdited);
    write(this.#meta, [clock(transcript.duration), this.#meta.textContent].join(" · "));
    if (this.#sound) this.#means.player.load(this.#sound);
    const isUrl = this.#job?.files[this.#file]?.source === "url";
    write(
      part("no-sound-why", HTMLElement),
      isUrl
        ? "The server has fetched this recording; the page has no copy."
        : "The page keeps no copy of a recording when it is closed.",
    );
    show(part("no-sound", HTMLElement), !this.#sound);
  }

  /** @param {HTMLInputElement} picker */
  #pick(picker) {
    const [file] = picker.files ?? [];
    picker.value = "";
    if (!file) return;
    this.#sound = file;
    this.#means.player.load(file);
    show(part("no-sound", HTMLElement), false);
  }

  /** @param {number} index @param {string} text */
  #edit(index, text) {
    const transcript = /** @type {Transcript} */ (this.#transcript);
    transcript.edit(index, text);
    this.#keep(transcript);
  }

  #takeBack() {
    const transcript = /** @type {Transcript} */ (this.#transcript);
    this.#transcript = new Transcript(transcript.written);
    this.#view.show(this.#transcript);
    this.#keep(this.#transcript);
  }

  /** @param {Transcript} transcript */
  #keep(transcript) {
    show(this.#undo, transcript.isEdited);
    const isKept = this.#means.edits.keep(this.openId, this.#file, transcript.edits, Date.now());
    if (!isKept)
      this.#means.notices.tell(
        "This browser has no room to keep your edits: download them.",
        "failed",
      );
  }

  /** @param {typeof FORMATS[number]} format */
  #download(format) {
    const name = this.#job?.files[this.#file]?.name ?? "transcript";
    save(
      `${
        name
          .split(/[\\/]/u)
          .pop()
          ?.replace(/\.[^.]*$/u, "") || "transcript"
      }.${format}`,
      this.#transcript?.file(format) ?? "",
    );
  }

  async #copy() {
    const isDone = await copy(this.#transcript?.file("txt") ?? "");
    this.#means.notices.tell(
      isDone ? "Text copied." : "The browser did not allow copying.",
      isDone ? "said" : "failed",
    );
  }
}

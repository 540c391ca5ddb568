// The form for recordings: files picked or dropped, a link, and how they shall be read.

import { make, part, show, write } from "../ui/dom.js";

/** @typedef {import("../app.js").Config} Config */
/** @typedef {{name: string, file?: File, url?: string, fields: [string, string][]}} Wish */

/** @type {Record<string, string>} */
const TASKS = { transcribe: "Transcribe", translate: "Translate into English" };

export class Submission {
  #form = part("submit", HTMLFormElement);
  #drop = part("drop", HTMLElement);
  #picker = part("picker", HTMLInputElement);
  #url = part("url", HTMLInputElement);
  #language = part("language", HTMLSelectElement);
  #task = part("task", HTMLSelectElement);
  #model = part("model-choice", HTMLSelectElement);
  #words = part("words", HTMLInputElement);
  #multilingual = part("multilingual", HTMLInputElement);
  #audioTrack = part("audio-track", HTMLInputElement);

  /**
   * @param {Config} config
   * @param {(wishes: Wish[]) => void} onWishes
   */
  constructor(config, onWishes) {
    this.#onWishes = onWishes;
    this.#offer(config);
    this.#picker.addEventListener("change", () => this.#take(this.#picker.files));
    this.#form.addEventListener("submit", (event) => this.#fetch(event));
    for (const name of ["dragenter", "dragover"])
      this.#drop.addEventListener(name, (event) => this.#over(event, true));
    for (const name of ["dragleave", "drop"])
      this.#drop.addEventListener(name, (event) => this.#over(event, false));
    this.#drop.addEventListener("drop", (event) => this.#take(event.dataTransfer?.files ?? null));
    // A file that misses the field would otherwise take the place of the page.
    for (const name of ["dragover", "drop"])
      addEventListener(name, (event) => event.preventDefault());
  }

  #onWishes;

  /**
   * Files as wishes, with what the form says now.
   *
   * @param {readonly File[]} files
   */
  hand(files) {
    this.#onWishes(files.map((file) => ({ name: file.name, file, fields: this.#fields() })));
  }

  /** @param {FileList | null} files */
  #take(files) {
    const picked = [...(files ?? [])];
    this.#picker.value = ""; // so that the same file can be picked again
    if (picked.length) this.hand(picked);
  }

  /** @param {SubmitEvent} event */
  #fetch(event) {
    event.preventDefault();
    const url = this.#url.value.trim();
    if (!url) {
      this.#url.focus();
      return;
    }
    this.#url.value = "";
    this.#onWishes([{ name: url, url, fields: this.#fields() }]);
  }

  /** @param {Event} event @param {boolean} isOver */
  #over(event, isOver) {
    event.preventDefault();
    this.#drop.classList.toggle("over", isOver);
  }

  /** @returns {[string, string][]} */
  #fields() {
    /** @type {[string, string][]} */
    const fields = [
      ["model", this.#model.value],
      ["task", this.#task.value],
      ["timestamp_granularities[]", "segment"],
    ];
    if (this.#language.value) fields.push(["language", this.#language.value]);
    if (this.#words.checked && !this.#words.disabled)
      fields.push(["timestamp_granularities[]", "word"]);
    if (this.#multilingual.checked) fields.push(["multilingual", "true"]);
    if (this.#audioTrack.value) fields.push(["audio_track", this.#audioTrack.value]);
    return fields;
  }

  /** @param {Config} config */
  #offer(config) {
    fill(this.#language, languageChoices(config));
    fill(this.#task, taskChoices(config));
    fill(
      this.#model,
      config.models.map((name) => [name, name]),
    );
    this.#words.disabled = !config.word_times;
    this.#words.checked = config.word_times;
    show(part("multilingual-field", HTMLElement), Object.keys(config.languages).length > 1);
    show(part("url-field", HTMLElement), config.fetches_urls);
    write(
      part("limits", HTMLElement),
      `Up to ${Math.floor(config.max_upload_bytes / 2 ** 20)} MB each`,
    );
  }
}

/** @param {Config} config @returns {[string, string][]} */
export function languageChoices(config) {
  const codes = Object.entries(config.languages);
  const named = codes.map(
    ([code, name]) => /** @type {[string, string]} */ ([code, capital(name)]),
  );
  return codes.length > 1 ? [["", "Detect"], ...named] : named;
}

/** @param {Config} config @returns {[string, string][]} */
export function taskChoices(config) {
  return config.tasks.map((task) => [task, TASKS[task] ?? task]);
}

/**
 * @param {HTMLSelectElement} select
 * @param {[string, string][]} choices value and text
 */
export function fill(select, choices) {
  select.replaceChildren(...choices.map(([value, text]) => make("option", { value }, text)));
}

/** @param {string} name */
export function capital(name) {
  return name.replace(/^\p{L}/u, (letter) => letter.toUpperCase());
}

// The room of live captions: buttons, states in words, and text that grows.

import { FORMATS } from "../core/transcript.js";
import { plainText, srt, vtt } from "../core/formats.js";
import { capital, fill, languageChoices, taskChoices } from "../files/submission.js";
import { copy, save } from "../ui/clipboard.js";
import { button, make, part, show, write } from "../ui/dom.js";
import { clock } from "../core/times.js";
import { Session } from "./session.js";
import { NoSound, Sound } from "./sound.js";

/** @typedef {import("./session.js").State} State */
/** @typedef {{config: import("../app.js").Config, key: () => string, isWelcome: () => Promise<boolean>, notices: import("../ui/notices.js").Notices, onAct: (act: import("../core/snippets.js").Act) => void}} Means */

/** Sound below this is shown as silence: -60 dB. */
const FLOOR_DB = -60;

/** Seconds of digital silence after which something is probably switched off. */
const MUTE_S = 4;

const WRITERS = { txt: plainText, srt, vtt };

export class LiveRoom {
  #start = part("live-start", HTMLButtonElement);
  #pause = part("live-pause", HTMLButtonElement);
  #stop = part("live-stop", HTMLButtonElement);
  #state = part("live-state", HTMLElement);
  #words = part("live-words", HTMLElement);
  #lost = part("live-lost", HTMLElement);
  #language = part("live-language", HTMLSelectElement);
  #task = part("live-task", HTMLSelectElement);
  #level = part("level", HTMLElement);
  #captions = part("captions", HTMLElement);
  #lines = part("lines", HTMLElement);
  #open = part("open-line", HTMLElement);
  /** @type {Session | null} */
  #session = null;
  /** @type {Sound | null} */
  #sound = null;
  #silentPieces = 0;
  #lostSeconds = 0;

  /** @param {Means} means */
  constructor(means) {
    this.#means = means;
    fill(this.#language, languageChoices(means.config));
    fill(this.#task, taskChoices(means.config));
    part("live-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#begin();
    });
    this.#pause.addEventListener("click", () => this.#togglePause());
    this.#stop.addEventListener("click", () => this.#finish());
    part("live-copy", HTMLButtonElement).addEventListener("click", () => void this.#copy());
    part("live-clear", HTMLButtonElement).addEventListener("click", () => this.#clear());
    const formats = FORMATS.filter((format) => format !== "json");
    part("live-saves", HTMLElement).append(
      ...formats.map((format) =>
        button(format, () => this.#save(format), { class: "button small" }),
      ),
    );
    addEventListener("beforeunload", (event) => {
      if (this.#session && this.#session.state !== "over") event.preventDefault();
    });
  }

  #means;

  async #begin() {
    const { config, key, isWelcome } = this.#means;
    if (!config.live_url) {
      this.#tell(
        "over",
        "This page was opened under a name that the server cannot tell the live door's address from.",
      );
      return;
    }
    this.#clear();
    this.#start.disabled = true;
    this.#tell("connecting", "Asking the browser for sound.");
    try {
      this.#sound = await Sound.open(
        this.#source,
        (samples) => this.#hear(samples),
        () => this.#finish(),
      );
    } catch (error) {
      if (!(error instanceof NoSound)) throw error;
      this.#tell("over", error.message);
      return;
    }
    this.#tell("connecting", "Connecting.");
    this.#session = new Session(
      {
        url: config.live_url,
        language: this.#language.value,
        task: this.#task.value,
        hasWordTimes: config.word_times,
        key,
        isWelcome,
      },
      {
        onState: (state, words) => this.#tell(state, words),
        onText: (added) => this.#show(added),
        onLanguage: (code) =>
          write(part("heard-language", HTMLElement), capital(config.languages[code] ?? code)),
        onLost: (seconds) => this.#tellLost(seconds),
      },
    );
    this.#means.onAct({ kind: "live", url: config.live_url, handshake: this.#session.handshake });
  }

  get #source() {
    const chosen = /** @type {HTMLInputElement} */ (
      document.querySelector('input[name="source"]:checked')
    );
    return /** @type {import("./sound.js").Source} */ (chosen.value);
  }

  /** @param {Float32Array} samples */
  #hear(samples) {
    this.#session?.hear(samples);
    const peak = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
    const decibels = peak ? 20 * Math.log10(peak) : FLOOR_DB;
    this.#level.style.transform = `scaleX(${Math.max(0, 1 - Math.max(FLOOR_DB, decibels) / FLOOR_DB)})`;
    this.#silentPieces = peak ? 0 : this.#silentPieces + 1;
    if (this.#session?.state === "listening") {
      const isMute = this.#silentPieces >= MUTE_S * 10;
      write(
        this.#words,
        isMute ? "No sound at all: is the microphone switched off?" : "Listening.",
      );
    }
  }

  #togglePause() {
    if (this.#session?.state === "paused") this.#session.resume();
    else this.#session?.pause();
  }

  #finish() {
    this.#silence();
    this.#session?.finish();
  }

  #silence() {
    this.#sound?.close();
    this.#sound = null;
    this.#level.style.transform = "scaleX(0)";
  }

  /** @param {State} state @param {string} words */
  #tell(state, words) {
    this.#state.dataset.state = state;
    write(this.#words, words);
    if (state === "over") this.#silence();
    this.#start.disabled = state !== "over";
    this.#pause.disabled = state !== "listening" && state !== "paused";
    this.#pause.setAttribute("aria-pressed", String(state === "paused"));
    write(this.#pause, state === "paused" ? "Go on" : "Pause");
    this.#stop.disabled = state === "over" || !this.#session;
    write(this.#stop, state === "finishing" ? "Stop now" : "Stop");
    for (const field of [this.#language, this.#task]) field.disabled = state !== "over";
    if (state === "over") this.#settleOpen();
  }

  /** @param {import("./captions.js").Line[]} added */
  #show(added) {
    const isAtEnd =
      this.#captions.scrollHeight - this.#captions.scrollTop - this.#captions.clientHeight < 80;
    show(part("captions-empty", HTMLElement), false);
    for (const line of added) {
      const time = make(
        "span",
        { class: "time numbers", "aria-hidden": "true" },
        clock(line.start),
      );
      this.#lines.append(make("p", { class: "line", dir: "auto" }, time, line.text));
    }
    const tentative = this.#session?.captions.tentative ?? null;
    show(this.#open, tentative !== null);
    write(part("stable", HTMLElement), tentative?.stable ?? "");
    write(part("tentative", HTMLElement), tentative?.rest ?? "");
    if (isAtEnd) this.#captions.scrollTop = this.#captions.scrollHeight;
    const delay = this.#session?.delay.median ?? null;
    write(part("delay", HTMLElement), delay === null ? "–" : `${delay.toFixed(1)} s`);
  }

  /** What was still open when the session ended stays visible, and is no part of what is saved. */
  #settleOpen() {
    if (this.#session && !this.#session.captions.tentative) show(this.#open, false);
  }

  /** @param {number} seconds */
  #tellLost(seconds) {
    this.#lostSeconds += seconds;
    write(
      this.#lost,
      `${clock(this.#lostSeconds)} of sound were lost: the server was away for longer than the page keeps.`,
    );
    show(this.#lost, true);
  }

  #clear() {
    this.#session?.captions.clear();
    this.#lines.replaceChildren();
    this.#lostSeconds = 0;
    show(this.#lost, false);
    const isIdle = !this.#session || this.#session.state === "over";
    if (isIdle) show(this.#open, false);
    show(part("captions-empty", HTMLElement), isIdle);
  }

  /** @param {keyof typeof WRITERS} format */
  #written(format) {
    return WRITERS[format](this.#session?.captions.segments ?? []);
  }

  /** @param {keyof typeof WRITERS} format */
  #save(format) {
    const moment = new Date().toISOString().slice(0, 16).replace(/[:T]/gu, "-");
    save(`live-${moment}.${format}`, this.#written(format));
  }

  async #copy() {
    const isDone = await copy(this.#written("txt"));
    this.#means.notices.tell(
      isDone ? "Text copied." : "The browser did not allow copying.",
      isDone ? "said" : "failed",
    );
  }
}

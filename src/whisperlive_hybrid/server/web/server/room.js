// The room of the server: what runs there, how busy it is, the key, and programs to paste.

import { Problem } from "../core/problems.js";
import { snippets } from "../core/snippets.js";
import { copy } from "../ui/clipboard.js";
import { button, make, part, show, write } from "../ui/dom.js";
import { Chart } from "./chart.js";
import { Series } from "./series.js";
import { facts, MEASURES, readings } from "./status.js";

/** @typedef {import("../core/snippets.js").Act} Act */
/** @typedef {{client: import("../api/client.js").Client, keys: import("../api/key.js").KeyStore, notices: import("../ui/notices.js").Notices, onKey: () => void}} Means */

const POLL_MS = 2000;
const SPAN_S = 300;

/** What is shown before anything was done: the sample of every page of the documentation. */
/** @type {Act} */
const FIRST_ACT = { kind: "job", source: { file: "talk.mp3" }, fields: [] };

export class ServerRoom {
  #facts = part("facts", HTMLElement);
  #failed = part("server-failed", HTMLElement);
  #charts = MEASURES.map(({ name, title, written, least }) => ({
    name,
    series: new Series(SPAN_S),
    chart: new Chart(title, written, least),
  }));
  /** @type {Act} */
  #act = FIRST_ACT;
  #language = "curl";
  #isTurnedAway = false; // asked without a good key: until there is another, asking again is of no use

  /** @param {Means} means */
  constructor(means) {
    this.#means = means;
    part("charts", HTMLElement).append(...this.#charts.map(({ chart }) => chart.element));
    part("key-form", HTMLFormElement).addEventListener("submit", (event) => this.#useKey(event));
    part("forget-key", HTMLButtonElement).addEventListener("click", () => this.#forgetKey());
    part("copy-snippet", HTMLButtonElement).addEventListener("click", () => void this.#copy());
    part("remember", HTMLInputElement).checked = means.keys.isRemembered;
    this.#showSnippets();
    setInterval(() => void this.#poll(), POLL_MS);
    void this.#poll();
  }

  #means;

  /** Something was done: the programs do the same. @param {Act} act */
  did(act) {
    this.#act = act;
    this.#showSnippets();
  }

  /** Say that the server wants a key. */
  askForKey() {
    write(
      part("key-state", HTMLElement),
      this.#means.keys.key ? "The server does not know this key." : "This server asks for a key.",
    );
    part("key-form", HTMLFormElement).classList.add("asked");
  }

  async #poll() {
    if (this.#isTurnedAway || document.visibilityState !== "visible") return;
    try {
      const status = await this.#means.client.json("v1/server");
      const now = readings(status);
      for (const { name, series, chart } of this.#charts) {
        series.add(performance.now() / 1000, now[name] ?? 0);
        chart.show(series);
      }
      this.#tellFacts(facts(status));
      show(this.#failed, false);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#isTurnedAway = error.wantsKey;
      write(this.#failed, error.message);
      show(this.#failed, true);
    }
  }

  /** @param {[string, string][]} told */
  #tellFacts(told) {
    const rows = told.map(([name, value]) =>
      make("div", {}, make("dt", {}, name), make("dd", {}, value)),
    );
    const isNew = this.#facts.textContent !== rows.map((row) => row.textContent).join("");
    if (isNew) this.#facts.replaceChildren(...rows);
  }

  /** @param {Event} event */
  #useKey(event) {
    event.preventDefault();
    const field = part("key", HTMLInputElement);
    this.#means.keys.keep(field.value.trim(), part("remember", HTMLInputElement).checked);
    field.value = "";
    this.#keyChanged("This key is used now.");
  }

  #forgetKey() {
    this.#means.keys.forget();
    this.#keyChanged("No key is used.");
  }

  /** @param {string} words */
  #keyChanged(words) {
    write(part("key-state", HTMLElement), words);
    part("key-form", HTMLFormElement).classList.remove("asked");
    this.#isTurnedAway = false;
    this.#showSnippets();
    void this.#poll();
    this.#means.onKey();
  }

  #showSnippets() {
    const { client } = this.#means;
    const made = snippets(this.#act, {
      base: client.url(".").href.replace(/\/$/u, ""),
      hasKey: client.hasKey,
    });
    const chosen = made.find(({ name }) => name === this.#language) ?? made[0];
    const names = made.map(({ name }) =>
      button(name, () => this.#choose(name), {
        class: "button small",
        "aria-pressed": String(name === chosen?.name),
      }),
    );
    part("snippet-names", HTMLElement).replaceChildren(...names);
    write(part("snippet", HTMLElement), chosen?.code ?? "");
    const source =
      this.#act.kind === "live"
        ? "your live captions"
        : (this.#act.source.file ?? this.#act.source.url);
    write(
      part("snippets-of", HTMLElement),
      this.#act === FIRST_ACT
        ? "An example; after you have done something here, it is that."
        : `For what you did last: ${source}`,
    );
  }

  /** @param {string} name */
  #choose(name) {
    this.#language = name;
    this.#showSnippets();
    const pressed = part("snippet-names", HTMLElement).querySelector('[aria-pressed="true"]');
    if (pressed instanceof HTMLElement) pressed.focus();
  }

  async #copy() {
    const isDone = await copy(part("snippet", HTMLElement).textContent ?? "");
    this.#means.notices.tell(
      isDone ? "Program copied." : "The browser did not allow copying.",
      isDone ? "said" : "failed",
    );
  }
}

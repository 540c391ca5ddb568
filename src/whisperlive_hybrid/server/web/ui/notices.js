// Short messages at the foot of the page, read out and gone after a while.

import { button, make } from "./dom.js";

const SHOWN_MS = 8000;

export class Notices {
  /** @param {HTMLElement} place a live region */
  constructor(place) {
    this.#place = place;
  }

  #place;

  /**
   * @param {string} text
   * @param {"said" | "failed"} [kind] what failed stays until it is dismissed
   */
  tell(text, kind = "said") {
    const note = make("p", { class: `notice ${kind}` }, make("span", {}, text));
    note.append(button("×", () => note.remove(), { class: "plain", "aria-label": "Dismiss" }));
    this.#place.replaceChildren(note);
    if (kind === "said") setTimeout(() => note.remove(), SHOWN_MS);
  }
}

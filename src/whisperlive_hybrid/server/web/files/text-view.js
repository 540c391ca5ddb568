// The transcript on the screen: words that light up, lines that can be edited, a cursor for the keyboard.

import { clock, lastBegun } from "../core/times.js";
import { pieces } from "../core/transcript.js";
import { button, make, part, write } from "../ui/dom.js";

/** @typedef {import("../core/transcript.js").Transcript} Transcript */
/** @typedef {{onSeek: (seconds: number) => void, onEdit: (index: number, text: string) => void}} Listener */

/** Seconds behind the end of a word for which it stays lit. */
const AFTERGLOW_S = 0.4;

export class TextView {
  #list = part("segments", HTMLOListElement);
  #spoken = part("word-cursor", HTMLElement);
  #follow = part("follow", HTMLInputElement);
  /** @type {Transcript | null} */
  #transcript = null;
  /** @type {{starts: Float64Array, ends: Float64Array, spans: HTMLElement[]}} */
  #words = { starts: new Float64Array(), ends: new Float64Array(), spans: [] };
  #segmentStarts = new Float64Array();
  /** @type {HTMLElement | null} */
  #lit = null;
  /** @type {HTMLElement | null} */
  #line = null;
  /** @type {HTMLElement | null} */
  #cursor = null;

  /** @param {Listener} listener */
  constructor(listener) {
    this.#listener = listener;
    this.#list.addEventListener("click", (event) => this.#clicked(event));
    this.#list.addEventListener("keydown", (event) => this.#pressed(event));
    this.#list.addEventListener("focusin", (event) => this.#rove(lineOf(event.target)));
  }

  #listener;

  /** @param {Transcript} transcript */
  show(transcript) {
    this.#transcript = transcript;
    const { segments } = transcript;
    this.#segmentStarts = Float64Array.from(segments, (segment) => segment.start);
    this.#list.replaceChildren(...segments.map((segment, index) => this.#row(segment, index)));
    const first = this.#list.querySelector("button");
    if (first) first.tabIndex = 0;
    this.#index();
  }

  clear() {
    this.#transcript = null;
    this.#list.replaceChildren();
    this.#index();
  }

  /**
   * Light up what is said at a moment.
   *
   * @param {number} seconds
   */
  at(seconds) {
    const index = lastBegun(this.#words.starts, seconds + 1e-3);
    const isSaid = index >= 0 && seconds <= (this.#words.ends[index] ?? 0) + AFTERGLOW_S;
    this.#lit = moved(this.#lit, isSaid ? (this.#words.spans[index] ?? null) : null, "lit");
    const line = this.#list.children[lastBegun(this.#segmentStarts, seconds + 1e-3)];
    const before = this.#line;
    this.#line = moved(before, line instanceof HTMLElement ? line : null, "current");
    if (this.#line && this.#line !== before && this.#follow.checked)
      this.#line.scrollIntoView({ block: "nearest" });
  }

  /**
   * @param {import("../core/transcript.js").Segment} segment
   * @param {number} index
   */
  #row(segment, index) {
    const time = button(clock(segment.start), () => this.#listener.onSeek(segment.start), {
      class: "time numbers",
      tabindex: "-1",
      "aria-label": `Play from ${clock(segment.start)}`,
    });
    const edit = button("Edit", () => this.#edit(row), {
      class: "edit link",
      tabindex: "-1",
      "aria-label": `Edit the line at ${clock(segment.start)}`,
    });
    const row = make("li", { "data-index": String(index) }, time, this.#said(index), edit);
    return row;
  }

  /** @param {number} index */
  #said(index) {
    const segment = /** @type {Transcript} */ (this.#transcript).segment(index);
    const said = make("p", { dir: "auto", class: "said" });
    said.append(...pieces(segment).map(({ text, word }) => (word ? wordSpan(text, word) : text)));
    return said;
  }

  /** Remember where the words are, in the order of their times. */
  #index() {
    const spans = /** @type {HTMLElement[]} */ ([...this.#list.querySelectorAll(".word")]);
    /** @param {string} name */
    const times = (name) => Float64Array.from(spans, (span) => Number(span.dataset[name]));
    this.#words = { starts: times("start"), ends: times("end"), spans };
    this.#lit = this.#line = this.#cursor = null;
  }

  /** @param {Event} event */
  #clicked(event) {
    const word = event.target instanceof HTMLElement ? event.target.closest(".word") : null;
    if (word instanceof HTMLElement) this.#listener.onSeek(Number(word.dataset.start));
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    const line = lineOf(event.target);
    if (!line || event.target instanceof HTMLTextAreaElement) return;
    if (event.key === "ArrowDown") focusOn(line.nextElementSibling);
    else if (event.key === "ArrowUp") focusOn(line.previousElementSibling);
    else if (event.key === "ArrowRight") this.#step(line, 1);
    else if (event.key === "ArrowLeft") this.#step(line, -1);
    else if (event.key === "F2") this.#edit(line);
    else if (event.key === "Enter" && this.#cursor && line.contains(this.#cursor)) {
      this.#listener.onSeek(Number(this.#cursor.dataset.start));
    } else return;
    event.preventDefault();
  }

  /**
   * Move the cursor among the words of a line. The focus stays on the line's button: hundreds of
   * focusable words would be hundreds of things to listen to.
   *
   * @param {HTMLElement} line
   * @param {1 | -1} step
   */
  #step(line, step) {
    const words = /** @type {HTMLElement[]} */ ([...line.querySelectorAll(".word")]);
    const now = this.#cursor ? words.indexOf(this.#cursor) : -1;
    const next = words[now < 0 ? (step > 0 ? 0 : words.length - 1) : now + step];
    if (!next) return;
    this.#cursor = moved(this.#cursor, next, "cursor");
    write(this.#spoken, `${next.textContent}, ${clock(Number(next.dataset.start))}`);
  }

  /**
   * One line is in the order of the Tab key, the one that had the focus last.
   *
   * @param {HTMLElement | null} line
   */
  #rove(line) {
    if (!line) return;
    for (const each of this.#list.querySelectorAll('button[tabindex="0"]'))
      each.setAttribute("tabindex", "-1");
    for (const each of line.querySelectorAll("button")) each.tabIndex = 0;
    if (this.#cursor && !line.contains(this.#cursor))
      this.#cursor = moved(this.#cursor, null, "cursor");
  }

  /** @param {HTMLElement | null} line */
  #edit(line) {
    const said = line?.querySelector(".said");
    if (!line || !said || !this.#transcript) return;
    const index = Number(line.dataset.index);
    const before = this.#transcript.segment(index);
    const area = make("textarea", {
      rows: "1",
      "aria-label": `Text at ${clock(before.start)}`,
      dir: "auto",
    });
    area.value = before.text.trim();
    said.replaceWith(area);
    let isOpen = true;
    /** @param {boolean} isKept */
    const close = (isKept) => {
      if (!isOpen) return;
      isOpen = false;
      if (isKept) this.#listener.onEdit(index, area.value);
      area.replaceWith(this.#said(index));
      this.#index();
    };
    area.addEventListener("input", () => grow(area));
    area.addEventListener("blur", () => close(true));
    area.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== "Escape") return;
      event.preventDefault();
      close(event.key === "Enter");
      focusOn(line);
    });
    area.focus();
    grow(area);
  }
}

/** @param {string} text @param {import("../core/matching.js").Word} word */
function wordSpan(text, word) {
  return make(
    "span",
    { class: "word", "data-start": String(word.start), "data-end": String(word.end) },
    text,
  );
}

/** @param {EventTarget | null} target */
function lineOf(target) {
  return target instanceof Element ? target.closest("li") : null;
}

/** @param {Element | null} line */
function focusOn(line) {
  line?.querySelector("button")?.focus();
}

/** @param {HTMLTextAreaElement} area */
function grow(area) {
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight}px`;
}

/**
 * Take a mark from one element and give it to another.
 *
 * @param {HTMLElement | null} from
 * @param {HTMLElement | null} to
 * @param {string} mark
 */
function moved(from, to, mark) {
  if (from !== to) {
    from?.classList.remove(mark);
    to?.classList.add(mark);
  }
  return to;
}

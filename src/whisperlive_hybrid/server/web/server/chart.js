// A small chart: a name, the value now, and the line of the last minutes.

import { make, write } from "../ui/dom.js";
import { roundTop } from "./series.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 300;
const HEIGHT = 64;

export class Chart {
  #value = make("output", { class: "numbers" }, "–");
  #top = make("span", { class: "faint numbers" });
  #area = shape("polygon", "area");
  #line = shape("polyline", "line");
  #picture = document.createElementNS(SVG, "svg");
  element;

  /**
   * @param {string} name
   * @param {(value: number) => string} written
   * @param {number} least the value at the upper edge, as long as nothing is above it
   */
  constructor(name, written, least) {
    this.#name = name;
    this.#written = written;
    this.#least = least;
    this.#picture.setAttribute("viewBox", `0 -2 ${WIDTH} ${HEIGHT + 4}`);
    this.#picture.setAttribute("preserveAspectRatio", "none");
    this.#picture.setAttribute("role", "img");
    this.#picture.append(this.#area, this.#line);
    this.element = make(
      "figure",
      { class: "chart" },
      make("figcaption", {}, name, this.#value),
      this.#picture,
      this.#top,
    );
  }

  #name;
  #written;
  #least;

  /** @param {import("./series.js").Series} series */
  show(series) {
    const { last, most } = series;
    const top = roundTop(most, this.#least);
    const points = series.line(WIDTH, HEIGHT, top);
    const [first, end] = [points[0]?.[0] ?? WIDTH, points.at(-1)?.[0] ?? WIDTH];
    this.#line.setAttribute("points", points.join(" "));
    this.#area.setAttribute("points", [[first, HEIGHT], ...points, [end, HEIGHT]].join(" "));
    write(this.#value, last === null ? "–" : this.#written(last));
    write(this.#top, `at most ${this.#written(most)}`);
    this.#picture.setAttribute(
      "aria-label",
      `${this.#name}: now ${last === null ? "unknown" : this.#written(last)}, at most ${this.#written(most)}`,
    );
  }
}

/** @param {"polygon" | "polyline"} kind @param {string} name */
function shape(kind, name) {
  const made = document.createElementNS(SVG, kind);
  made.setAttribute("class", name);
  return made;
}

// The three rooms of the page as tabs: arrow keys, and an address for each.

import { show } from "./dom.js";

/**
 * @param {readonly HTMLElement[]} tabs each names its panel in aria-controls
 * @returns {(name: string) => void} shows the room of that name
 */
export function tabs(tabs) {
  /** @param {HTMLElement} tab */
  const panelOf = (tab) =>
    /** @type {HTMLElement} */ (document.getElementById(tab.getAttribute("aria-controls") ?? ""));

  /**
   * No element has this name: else the browser would begin there, behind the tabs.
   *
   * @param {HTMLElement} tab
   */
  const addressOf = (tab) => `#/${panelOf(tab).id}`;

  /** @param {HTMLElement} chosen */
  function choose(chosen) {
    for (const tab of tabs) {
      const isChosen = tab === chosen;
      tab.setAttribute("aria-selected", String(isChosen));
      tab.tabIndex = isChosen ? 0 : -1;
      show(panelOf(tab), isChosen);
    }
    history.replaceState(null, "", addressOf(chosen));
  }

  /** @param {number} step @param {HTMLElement} from */
  function neighbour(step, from) {
    const next = /** @type {HTMLElement} */ (tabs.at((tabs.indexOf(from) + step) % tabs.length));
    choose(next);
    next.focus();
  }

  for (const tab of tabs) {
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", (event) => {
      if (event.key === "ArrowRight") neighbour(1, tab);
      if (event.key === "ArrowLeft") neighbour(-1, tab);
    });
  }
  const asked = tabs.find((tab) => addressOf(tab) === location.hash);
  choose(asked ?? /** @type {HTMLElement} */ (tabs[0]));
  return (name) =>
    choose(tabs.find((tab) => panelOf(tab).id === name) ?? /** @type {HTMLElement} */ (tabs[0]));
}

// Where the page's modules are, for tests of what in them needs no browser.

const ROOT = new URL("../../../src/whisperlive_hybrid/server/web/", import.meta.url);

/** @param {string} path */
export function page(path) {
  return import(new URL(path, ROOT).href);
}

// One WebSocket to the live door: frames out, what was said in, and how it ended.

import { END_OF_AUDIO, understood } from "./protocol.js";

/** @typedef {import("./protocol.js").Said} Said */
/** @typedef {{onSaid: (said: Said) => void, onEnd: (code: number) => void}} Listener */

export class Connection {
  #socket;
  #isReady = false;

  /**
   * @param {string} url
   * @param {Record<string, unknown>} handshake
   * @param {string} key empty for none; it goes beside the subprotocol, never into the address
   * @param {Listener} listener
   */
  constructor(url, handshake, key, listener) {
    const socket = new WebSocket(url, key ? ["bearer", key] : []);
    socket.addEventListener("open", () => socket.send(JSON.stringify(handshake)));
    socket.addEventListener("message", ({ data }) => {
      const said = understood(data);
      if (said.kind === "ready") this.#isReady = true;
      listener.onSaid(said);
    });
    socket.addEventListener("close", ({ code }) => {
      this.#isReady = false;
      listener.onEnd(code);
    });
    this.#socket = socket;
  }

  get isReady() {
    return this.#isReady && this.#socket.readyState === WebSocket.OPEN;
  }

  /** @param {Int16Array} samples */
  send(samples) {
    this.#socket.send(/** @type {Int16Array<ArrayBuffer>} */ (samples));
  }

  /** All has been said; the rest of the text comes before the server closes. */
  finish() {
    this.#socket.send(END_OF_AUDIO);
  }

  close() {
    this.#socket.close();
  }
}

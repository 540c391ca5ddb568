// A live session: sound in, text out, over as many connections as it takes.

import { Backlog } from "./backlog.js";
import { Captions } from "./captions.js";
import { Connection } from "./connection.js";
import { Delay } from "./delay.js";
import { asInt16, handshake, RATE } from "./protocol.js";
import { afterEnding } from "./retries.js";

/** @typedef {import("./protocol.js").Said} Said */
/** @typedef {"connecting" | "listening" | "paused" | "waiting" | "finishing" | "over"} State */
/**
 * What a session tells.
 *
 * @typedef {object} Listener
 * @property {(state: State, words: string) => void} onState
 * @property {(added: import("./captions.js").Line[]) => void} onText
 * @property {(code: string) => void} onLanguage
 * @property {(seconds: number) => void} onLost
 */

/**
 * What is wanted, and from whom. A browser is not told why a connection was refused: `isWelcome`
 * finds out, over HTTP, whether it was the key.
 *
 * @typedef {object} Wish
 * @property {string} url
 * @property {string} language
 * @property {string} task
 * @property {boolean} hasWordTimes whether the model measures them
 * @property {() => string} key
 * @property {() => Promise<boolean>} isWelcome
 */

/** Seconds of sound that are kept for an interruption. */
const KEPT_S = 120;

/** Seconds of silence behind a pause, so that the last sentence ends and becomes final. */
const PAUSE_S = 1.2;

export class Session {
  captions = new Captions();
  delay = new Delay();
  #backlog = new Backlog(KEPT_S * RATE);
  /** @type {Connection | null} */
  #connection = null;
  /** @type {State} */
  #state = "connecting";
  /** @type {Said | null} */
  #last = null;
  #tries = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {Wish} wish
   * @param {Listener} listener
   */
  constructor(wish, listener) {
    this.wish = wish;
    this.handshake = handshake({ uid: crypto.randomUUID?.() ?? String(Math.random()), ...wish });
    this.#listener = listener;
    this.#connect();
  }

  #listener;

  get state() {
    return this.#state;
  }

  /**
   * Sound from the worklet.
   *
   * @param {Float32Array} samples
   */
  hear(samples) {
    if (this.#state === "paused" || this.#state === "finishing" || this.#state === "over") return;
    this.#keep(asInt16(samples));
  }

  pause() {
    if (this.#state !== "listening") return;
    this.#keep(new Int16Array(PAUSE_S * RATE));
    this.#become("paused", "Paused. Nothing is heard.");
  }

  resume() {
    if (this.#state === "paused") this.#become("listening", "Listening.");
  }

  /** Have the rest of the text, then end; asked a second time, end at once. */
  finish() {
    if (this.#state === "over") return;
    if (this.#state === "finishing" || !this.#backlog.end) this.#end("Stopped.");
    else if (this.#connection?.isReady) this.#sayAll();
    else this.#become("finishing", "Waiting for the connection, to finish the text.");
  }

  #sayAll() {
    this.#become("finishing", "Waiting for the rest of the text.");
    this.#flush();
    this.#connection?.finish();
  }

  /** @param {Int16Array} samples */
  #keep(samples) {
    this.#backlog.push(samples);
    this.delay.captured(this.#backlog.end / RATE, performance.now());
    this.#flush();
    const lost = this.#backlog.takeLost();
    if (lost) this.#listener.onLost(lost / RATE);
  }

  #flush() {
    if (!this.#connection?.isReady) return;
    for (const piece of this.#backlog.takeUnsent()) this.#connection.send(piece);
  }

  #connect() {
    this.#last = null;
    this.#connection = new Connection(this.wish.url, this.handshake, this.wish.key(), {
      onSaid: (said) => this.#understand(said),
      onEnd: (code) => this.#ended(code),
    });
  }

  /** @param {Said} said */
  #understand(said) {
    if (said.kind !== "language" && said.kind !== "captions") this.#last = said;
    if (said.kind === "ready") this.#ready();
    if (said.kind === "language") this.#listener.onLanguage(said.code);
    if (said.kind === "captions") this.#show(said.captions);
  }

  #ready() {
    this.#tries = 0;
    this.captions.connect(this.#backlog.rewind() / RATE);
    this.#flush();
    if (this.#state === "finishing") this.#sayAll();
    else if (this.#state !== "paused") this.#become("listening", "Listening.");
  }

  /** @param {import("./protocol.js").Caption[]} captions */
  #show(captions) {
    const { added, spoken } = this.captions.hear(captions);
    this.#backlog.settle(Math.floor(this.captions.settled * RATE));
    this.#listener.onText(added);
    if (spoken === null) return;
    requestAnimationFrame(() => this.delay.shown(spoken, performance.now()));
  }

  /** @param {number} code */
  #ended(code) {
    this.#connection = null;
    const isWished = this.#state === "finishing" && code === 1000 && this.#last?.kind === "ready";
    if (this.#state === "over") return;
    if (isWished) {
      this.#end("Stopped. All of the text is here.");
      return;
    }
    void this.#again(code);
  }

  /** @param {number} code */
  async #again(code) {
    const isWelcome = this.#last !== null || (await this.wish.isWelcome());
    if (this.#state === "over") return; // stopped meanwhile
    const verdict = afterEnding({ code, last: this.#last, tries: this.#tries++, isWelcome });
    if (verdict.retryInMs === null) {
      this.#end(verdict.words);
      return;
    }
    const keeps = this.#state === "finishing" || this.#state === "paused";
    this.#become(keeps ? this.#state : "waiting", verdict.words);
    this.#timer = setTimeout(() => this.#connect(), verdict.retryInMs);
  }

  /** @param {string} words */
  #end(words) {
    clearTimeout(this.#timer);
    this.#become("over", words);
    this.#connection?.close();
  }

  /** @param {State} state @param {string} words */
  #become(state, words) {
    this.#state = state;
    this.#listener.onState(state, words);
  }
}

// Requests to the server: the key in a header, faults as problems, events as they come.

import { Problem, problemOf, unreachable } from "../core/problems.js";
import { EventReader } from "../core/sse.js";

export class Client {
  /**
   * @param {string} base the address of the page, which is the server's
   * @param {() => string} key
   * @param {() => void} onKeyAsked the server wants a key, or another one
   */
  constructor(base, key, onKeyAsked) {
    this.#base = base;
    this.#key = key;
    this.#onKeyAsked = onKeyAsked;
  }

  #base;
  #key;
  #onKeyAsked;

  get hasKey() {
    return this.#key() !== "";
  }

  /** @param {string} path */
  url(path) {
    return new URL(path, this.#base);
  }

  /**
   * A successful answer, or a `Problem`.
   *
   * @param {string} path
   * @param {RequestInit} [init]
   * @returns {Promise<Response>}
   */
  async request(path, init = {}) {
    const answer = await fetch(this.url(path), {
      ...init,
      headers: { ...this.#headers(), ...init.headers },
    }).catch((error) => {
      throw error.name === "AbortError" ? error : unreachable();
    });
    if (answer.ok) return answer;
    throw this.#problem(answer.status, await answer.text(), answer.headers.get("retry-after"));
  }

  /**
   * @param {string} path
   * @param {RequestInit} [init]
   * @returns {Promise<any>}
   */
  async json(path, init) {
    return (await this.request(path, init)).json();
  }

  /** Whether this key opens the server, as far as can be told: one that is away refuses nobody. */
  async isWelcome() {
    try {
      await this.request("v1/models");
      return true;
    } catch (error) {
      return !(error instanceof Problem && error.wantsKey);
    }
  }

  /**
   * Post a form and tell how much of it has gone out; fetch cannot tell that.
   *
   * @param {string} path
   * @param {FormData} form
   * @param {(share: number) => void} onProgress from 0 to 1
   * @param {AbortSignal} signal
   * @returns {Promise<any>} the JSON of the answer
   */
  upload(path, form, onProgress, signal) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("POST", this.url(path));
      for (const [name, value] of Object.entries(this.#headers()))
        request.setRequestHeader(name, value);
      request.upload.onprogress = ({ loaded, total }) => onProgress(loaded / total);
      request.onload = () => {
        const { status, responseText } = request;
        if (status >= 200 && status < 300) resolve(JSON.parse(responseText));
        else reject(this.#problem(status, responseText, request.getResponseHeader("retry-after")));
      };
      request.onerror = () => reject(unreachable());
      request.onabort = () => reject(signal.reason);
      signal.addEventListener("abort", () => request.abort());
      request.send(form);
    });
  }

  /**
   * Server-sent events. EventSource can send no header, and a key in an address lands in logs.
   *
   * @param {string} path
   * @param {AbortSignal} signal
   * @returns {AsyncGenerator<any>}
   */
  async *events(path, signal) {
    const answer = await this.request(path, { signal });
    const reader = new EventReader();
    const stream = /** @type {ReadableStream<Uint8Array<ArrayBuffer>>} */ (answer.body);
    const texts = stream.pipeThrough(new TextDecoderStream()).getReader();
    for (let part = await texts.read(); !part.done; part = await texts.read())
      yield* reader.read(part.value);
  }

  /** @returns {Record<string, string>} */
  #headers() {
    const key = this.#key();
    return key ? { authorization: `Bearer ${key}` } : {};
  }

  /** @param {number} status @param {string} body @param {string | null} retryAfter */
  #problem(status, body, retryAfter) {
    const problem = problemOf(status, body, retryAfter);
    if (problem.wantsKey) this.#onKeyAsked();
    return problem;
  }
}

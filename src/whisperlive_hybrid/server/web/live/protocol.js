// The WhisperLive protocol without a socket: what is said first, and what the answers mean.

/**
 * A segment, in seconds of this connection; `spoken` is the measured end of its last word, null
 * where the model measures none.
 *
 * @typedef {object} Caption
 * @property {number} start
 * @property {number} end
 * @property {string} text
 * @property {boolean} completed
 * @property {string} stable
 * @property {number | null} spoken
 */
/**
 * @typedef {{kind: "ready"} | {kind: "wait", minutes: number} | {kind: "error", message: string}
 *   | {kind: "time-up"} | {kind: "language", code: string} | {kind: "captions", captions: Caption[]}
 *   | {kind: "unknown"}} Said
 */

export const END_OF_AUDIO = "END_OF_AUDIO";

export const RATE = 16000;

/** Completed segments in each message: more than a message can ever bring anew. */
const WINDOW = 50;

/**
 * The first message.
 *
 * @param {{uid: string, language: string, task: string, hasWordTimes: boolean}} wish `language` empty to have it detected
 */
export function handshake({ uid, language, task, hasWordTimes }) {
  return {
    uid,
    language: language || null,
    task,
    model: "",
    use_vad: true,
    send_last_n_segments: WINDOW,
    audio_format: "int16",
    word_timestamps: hasWordTimes, // to say honestly how long it is from speech to text
  };
}

/**
 * What a message of the server says.
 *
 * @param {string} frame
 * @returns {Said}
 */
export function understood(frame) {
  const message = JSON.parse(frame);
  if (message.status === "WAIT") return { kind: "wait", minutes: Number(message.message) };
  if (message.status === "ERROR") return { kind: "error", message: String(message.message) };
  if (message.message === "DISCONNECT") return { kind: "time-up" };
  if (message.message === "SERVER_READY") return { kind: "ready" };
  if (message.language) return { kind: "language", code: String(message.language) };
  if (message.segments) return { kind: "captions", captions: message.segments.map(caption) };
  return { kind: "unknown" };
}

/**
 * @param {any} segment
 * @returns {Caption}
 */
function caption({ start, end, text, completed, stable, words }) {
  return {
    start: Number(start),
    end: Number(end),
    text,
    completed: Boolean(completed),
    stable: stable ?? "",
    spoken: words?.length ? Number(words.at(-1).end) : null,
  };
}

/**
 * Samples as the handshake announces them.
 *
 * @param {Float32Array} samples
 * @returns {Int16Array}
 */
export function asInt16(samples) {
  return Int16Array.from(samples, (sample) =>
    Math.max(-32768, Math.min(32767, Math.round(sample * 32768))),
  );
}

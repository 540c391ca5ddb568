// Segments as plain text, SubRip and WebVTT: the rules of the server's text/formats.py, to the byte.

/** @typedef {{start: number, end: number, text: string}} Cue Times in seconds. */

// What Python's str.split() and str.strip() take for space; JavaScript's \s differs in six.
const SPACES =
  "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const SPACE_RUN = new RegExp(`[${SPACES}]+`, "gu");
const SPACE_ENDS = new RegExp(`^[${SPACES}]+|[${SPACES}]+$`, "gu");

/** A cue of no length is never shown, and WebVTT forbids it. */
const SHORTEST_CUE_MS = 1;

/**
 * Text without the space around it.
 *
 * @param {string} text
 */
export function stripped(text) {
  return text.replace(SPACE_ENDS, "");
}

/**
 * The running text of segments.
 *
 * @param {readonly Cue[]} segments
 */
export function joinedText(segments) {
  return stripped(segments.map((segment) => segment.text).join(""));
}

/**
 * The running text and a final newline.
 *
 * @param {readonly Cue[]} segments
 */
export function plainText(segments) {
  return `${joinedText(segments)}\n`;
}

/**
 * SubRip: numbered cues, a comma before the milliseconds, a blank line after each cue.
 *
 * @param {readonly Cue[]} segments
 */
export function srt(segments) {
  return cues(segments)
    .map(
      ({ from, to, text }, index) =>
        `${index + 1}\n${stamp(from, ",")} --> ${stamp(to, ",")}\n${text}\n\n`,
    )
    .join("");
}

/**
 * WebVTT: a header, then cues with a dot before the milliseconds.
 *
 * @param {readonly Cue[]} segments
 */
export function vtt(segments) {
  const written = cues(segments).map(
    ({ from, to, text }) => `${stamp(from, ".")} --> ${stamp(to, ".")}\n${escaped(text)}\n\n`,
  );
  return `WEBVTT\n\n${written.join("")}`;
}

/**
 * Times in whole milliseconds and text on one line; segments without text make no cue.
 *
 * @param {readonly Cue[]} segments
 */
function cues(segments) {
  return segments.flatMap((segment) => {
    // A blank line would end the cue, and an arrow would be read as the times of the next.
    const text = stripped(segment.text).replace(SPACE_RUN, " ").replaceAll("-->", "->");
    if (!text) return [];
    const from = Math.round(segment.start * 1000);
    return [{ from, to: Math.max(Math.round(segment.end * 1000), from + SHORTEST_CUE_MS), text }];
  });
}

/**
 * HH:MM:SS and milliseconds behind `mark`; hours grow beyond two digits.
 *
 * @param {number} milliseconds
 * @param {string} mark
 */
function stamp(milliseconds, mark) {
  const seconds = Math.floor(milliseconds / 1000);
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const clock = parts.map((part) => String(part).padStart(2, "0")).join(":");
  return `${clock}${mark}${String(milliseconds % 1000).padStart(3, "0")}`;
}

/**
 * Text that WebVTT does not take for markup; SubRip has no escapes.
 *
 * @param {string} text
 */
function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}

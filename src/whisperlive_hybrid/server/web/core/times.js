// Times as people read them, and which word is spoken at one.

/**
 * Minutes and seconds, with hours where there are any: 2:03, 1:02:03.
 *
 * @param {number} seconds
 * @returns {string}
 */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const parts = [Math.floor(whole / 60) % 60, whole % 60].map((part) => String(part));
  const hours = Math.floor(whole / 3600);
  const [minutes, rest] = [parts[0] ?? "0", (parts[1] ?? "0").padStart(2, "0")];
  return hours ? `${hours}:${minutes.padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/**
 * A length in words, for those who hear the page: "1 hour 2 minutes", "45 seconds".
 *
 * @param {number} seconds
 * @returns {string}
 */
export function inWords(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const parts = [
    [Math.floor(whole / 3600), "hour"],
    [Math.floor(whole / 60) % 60, "minute"],
    [whole % 60, "second"],
  ];
  const told = parts.filter(([count]) => count).slice(0, 2);
  return (
    told.map(([count, unit]) => `${count} ${unit}${count === 1 ? "" : "s"}`).join(" ") ||
    "0 seconds"
  );
}

/**
 * The last of the ascending `starts` that is not after `time`; -1 before the first.
 *
 * @param {ArrayLike<number>} starts
 * @param {number} time
 * @returns {number}
 */
export function lastBegun(starts, time) {
  let low = 0;
  let high = starts.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (/** @type {number} */ (starts[middle]) <= time) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/**
 * How long ago a moment was, roughly.
 *
 * @param {number} then Unix seconds
 * @param {number} now Unix seconds
 * @returns {string}
 */
export function ago(then, now) {
  const seconds = Math.max(0, now - then);
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

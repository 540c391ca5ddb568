// A recording as the few numbers that its waveform is drawn from.

/** Bars of a waveform; more than any screen is wide. */
export const PEAKS = 2000;

/**
 * The loudest sample of each stretch, over all channels.
 *
 * @param {readonly Float32Array[]} channels
 * @param {number} [count]
 * @returns {Float32Array}
 */
export function peaks(channels, count = PEAKS) {
  const length = channels[0]?.length ?? 0;
  const found = new Float32Array(Math.min(count, length));
  for (const channel of channels) {
    for (let i = 0; i < length; i++) {
      const bar = Math.floor((i * found.length) / length);
      const level = Math.abs(/** @type {number} */ (channel[i]));
      if (level > /** @type {number} */ (found[bar])) found[bar] = level;
    }
  }
  return found;
}

"""Automatic gain of a voice detector's input, so that it finds quiet and overdriven speech.

Silero VAD was trained on speech at ordinary levels. Attenuated by 50 dB it misses half of the
speech that it finds at the original level, and it is unsure of speech driven 30 dB into a limiter.
`VoiceLevel` changes only the detector's input, never the samples that are decoded.

- The loudest frame of the last seconds is raised to -25 dB of full scale, by at most 36 dB. A
  louder frame takes effect at once, so that nothing is ever raised above that; after 2 s without
  such a frame the level falls by 6 dB per second.
- While the power over half a second is above -8 dB, audio counts as overdriven. It is lowered by
  20 dB, where the detector judges clipped speech better, and the detector judges it again after
  `expand`: a limiter has raised the noise between the words, which the expansion lowers again.

Levels in between, as in most recordings, pass unchanged, bit for bit. The state is causal and per
stream, and each frame is computed by itself, so that any grouping of frames gives the same bits.
"""

import math
from typing import Final

import numpy as np

from whisperlive_hybrid.types import Samples

QUIET_DB: Final = -25.0
"""Level of the loudest frame to which quieter audio is raised. In recordings of speech its median
is -14 dB, and in one of twenty it is below -31 dB."""

MOST_GAIN_DB: Final = 36.0
"""Raises speech that was attenuated by 60 dB to a level at which Silero finds most of it."""

LOUD_DB: Final = -8.0
"""Power over half a second above which audio counts as overdriven. Of 100 recordings of speech, 95
stay below -12 dB and 99 below about this; speech driven 30 dB into a limiter reaches -6 dB."""

_LOUD_GAIN: Final = np.float32(0.1)
_HOLD_FRAMES: Final = 62
"""2 s, longer than pauses between sentences."""
_FALL_DB: Final = 6 * 0.032
"""6 dB per second, in a frame of 32 ms."""
_AVERAGED_FRAMES: Final = 16
"""Half a second."""
_FLOOR: Final = 1e-12
"""Power of digital silence, -120 dB; the logarithm of 0 is not defined."""


class VoiceLevel:
    """Automatic gain of one stream, frame by frame."""

    def __init__(self) -> None:
        self._loudest = _HeldPeak()
        self._sustained = _HeldPeak()
        self._power = 0.0

    def adjust(self, frames: Samples, inputs: Samples) -> list[bool]:
        """Scale `inputs`, (n, any) float32, in place by the levels of `frames`, (n, FRAME).

        Row `i` of `inputs` is the detector's context followed by `frames[i]`. Return for each frame
        whether it is overdriven.
        """
        overdriven = []
        powers = np.square(frames, dtype=np.float64).mean(axis=1).tolist()
        for i, power in enumerate(powers):
            # An exponential mean, so that no frames have to be stored.
            self._power += (power - self._power) / _AVERAGED_FRAMES
            gain_db = min(MOST_GAIN_DB, QUIET_DB - self._loudest.follow(_decibels(power)))
            sustained_db = self._sustained.follow(_decibels(self._power))
            # Without a gain, samples are not multiplied: they must stay the same, bit for bit.
            if gain_db > 0:
                inputs[i] *= np.float32(10 ** (gain_db / 20))
            overdriven.append(gain_db <= 0 and sustained_db > LOUD_DB)
            if overdriven[-1]:
                inputs[i] *= _LOUD_GAIN
        return overdriven


def expand(inputs: Samples) -> Samples:
    """Return overdriven `inputs` of `adjust` with wider dynamics: x becomes x sqrt|x|.

    The exponent of 1.5 was better than 1.25 and 2 for noisy speech after a limiter.
    """
    return inputs * np.sqrt(np.abs(inputs) / _LOUD_GAIN)


class _HeldPeak:
    """A peak level that rises at once, is held for `_HOLD_FRAMES`, and then falls linearly."""

    def __init__(self) -> None:
        self._level = -math.inf
        self._age = 0

    def follow(self, level: float) -> float:
        """Add the level of the next frame in dB; return the peak level."""
        self._age += 1
        if self._age > _HOLD_FRAMES:
            self._level -= _FALL_DB
        if level >= self._level:
            self._level, self._age = level, 0
        return self._level


def _decibels(power: float) -> float:
    return 10 * math.log10(power + _FLOOR)

"""The level at which a voice detector is fed, so that it finds quiet and overdriven speech.

Silero VAD was trained on speech at ordinary levels. Attenuated by 50 dB it misses half of the
speech that it finds at the original level, and of speech driven 30 dB into a limiter it is unsure.
`VoiceLevel` changes only what the detector sees: samples that are decoded stay as they are.

- The loudest frame of the last seconds is raised to -25 dB of full scale, by at most 36 dB. A frame
  that is louder counts at once, so nothing is ever raised above that; after 2 s without it the
  level falls by 6 dB a second.
- Where the power over half a second stays above -8 dB, audio counts as overdriven. It is lowered by
  20 dB, at which clipped speech is judged better, and it is worth a second look `expand`: a
  limiter has raised the noise between the words, which the expansion lowers again.

In between, where most recordings are, samples pass unchanged, bit for bit. The state is causal and
of one stream, and each frame is computed by itself, so any grouping of frames gives the same bits.
"""

import math
from typing import Final

import numpy as np

from whisperlive_hybrid.types import Samples

QUIET_DB: Final = -25.0
"""Level of the loudest frame to which quieter audio is raised. The median of recordings of speech
has -14 dB there, and one in twenty less than -31 dB."""

MOST_GAIN_DB: Final = 36.0
"""Brings speech that was attenuated by 60 dB to where Silero finds most of it."""

LOUD_DB: Final = -8.0
"""Power over half a second from which audio counts as overdriven. Of recordings of speech, 95 of
100 stay below -12 dB and 99 about here; speech driven 30 dB into a limiter reaches -6 dB."""

_LOUD_GAIN: Final = np.float32(0.1)
_HOLD_FRAMES: Final = 62
"""2 s, longer than pauses between sentences."""
_FALL_DB: Final = 6 * 0.032
"""In a frame of 32 ms."""
_AVERAGED_FRAMES: Final = 16
_FLOOR: Final = 1e-12
"""Power of nothing: -120 dB."""


class VoiceLevel:
    """Follows the level of one stream, frame by frame."""

    def __init__(self) -> None:
        self._loudest = _HeldPeak()
        self._sustained = _HeldPeak()
        self._power = 0.0

    def adjust(self, frames: Samples, inputs: Samples) -> list[bool]:
        """Bring `inputs`, (n, any) float32, in place to the level that `frames` ask for.

        `frames` are (n, FRAME); a row of `inputs` holds one of them behind what the detector wants
        to see before it. Returns which of them are overdriven.
        """
        overdriven = []
        powers = np.square(frames, dtype=np.float64).mean(axis=1).tolist()
        for i, power in enumerate(powers):
            self._power += (power - self._power) / _AVERAGED_FRAMES
            gain_db = min(MOST_GAIN_DB, QUIET_DB - self._loudest.follow(_decibels(power)))
            sustained_db = self._sustained.follow(_decibels(self._power))
            if gain_db > 0:
                inputs[i] *= np.float32(10 ** (gain_db / 20))
            overdriven.append(gain_db <= 0 and sustained_db > LOUD_DB)
            if overdriven[-1]:
                inputs[i] *= _LOUD_GAIN
        return overdriven


def expand(inputs: Samples) -> Samples:
    """Return overdriven `inputs` of `adjust` with wider dynamics: x sqrt|x| of what they were.

    An exponent of 1.5 was better than 1.25 and 2 on speech with noise behind a limiter.
    """
    return inputs * np.sqrt(np.abs(inputs) / _LOUD_GAIN)


class _HeldPeak:
    """A level that rises at once, is held, and then falls evenly."""

    def __init__(self) -> None:
        self._level = -math.inf
        self._age = 0

    def follow(self, level: float) -> float:
        """Take the level of one more frame; return the held one."""
        self._age += 1
        if self._age > _HOLD_FRAMES:
            self._level -= _FALL_DB
        if level >= self._level:
            self._level, self._age = level, 0
        return self._level


def _decibels(power: float) -> float:
    return 10 * math.log10(power + _FLOOR)

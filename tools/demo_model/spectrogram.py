"""Whisper's log-mel spectrogram, and the noises that are mixed under speech."""

import random
from typing import Literal

import numpy as np
import torch
from faster_whisper.feature_extractor import FeatureExtractor
from numpy.typing import NDArray

from demo_model.pool import SAMPLE_RATE

N_FFT = 400  # 25 ms
HOP = 160  # 10 ms a mel frame
N_MELS = 80

Colour = Literal["white", "pink", "brown", "hum"]
COLOURS: tuple[Colour, ...] = ("white", "white", "pink", "brown", "hum")  # white twice as often


class LogMel:
    """The spectrogram that Whisper models read."""

    def __init__(self) -> None:
        filters = FeatureExtractor.get_mel_filters(SAMPLE_RATE, N_FFT, N_MELS)
        self._filters = torch.from_numpy(filters.astype("float32"))
        self._window = torch.hann_window(N_FFT)

    def __call__(self, samples: NDArray[np.float32], louder_elsewhere: float = 0.0) -> torch.Tensor:
        """Return (80, frames) float32 of (n,) samples.

        `louder_elsewhere`, in units of log10 power, raises the maximum that the spectrogram is
        measured against: faster-whisper takes that maximum over the whole file, not the window.
        """
        spectrum = torch.stft(
            torch.from_numpy(samples),
            N_FFT,
            HOP,
            window=self._window,
            center=True,
            return_complex=True,
        )
        power = self._filters @ (spectrum[:, :-1].abs() ** 2)
        level = power.clamp(min=1e-10).log10()
        level = torch.maximum(level, level.max() + louder_elsewhere - 8.0)
        return (level + 4) / 4


class NoiseSource:
    """Noises of several colours, at one loudness."""

    def __init__(self, rng: random.Random, seed: int) -> None:
        self._rng = rng
        self._generator = np.random.default_rng(seed)

    def make(self, count: int, colour: Colour | None = None) -> NDArray[np.float32]:
        """Return (count,) float32 whose absolute values spread by a third; any colour for None."""
        chosen = colour or self._rng.choice(COLOURS)
        noise = self._generator.standard_normal(count).astype(np.float32)
        if chosen in ("pink", "brown"):
            noise = _tilt(noise, 0.5 if chosen == "pink" else 1.0)
        elif chosen == "hum":
            noise = self._hum(noise)
        scaled: NDArray[np.float32] = (noise / (np.abs(noise).std() + 1e-9) / 3).astype(np.float32)
        return scaled

    def _hum(self, noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return three harmonics of a tone over a little of the noise."""
        time = np.arange(len(noise), dtype=np.float32) / SAMPLE_RATE
        pitch = self._rng.uniform(45, 400)  # Hz
        harmonics = (
            self._rng.random() * np.sin(2 * np.pi * pitch * harmonic * time, dtype=np.float32)
            for harmonic in (1, 2, 3)
        )
        return 0.1 * noise + sum(harmonics)


def _tilt(noise: NDArray[np.float32], exponent: float) -> NDArray[np.float32]:
    """Let the amplitude fall with frequency to the power of `exponent`."""
    spectrum = np.fft.rfft(noise)
    frequency = np.maximum(np.arange(len(spectrum)), 8).astype(np.float32)
    return np.fft.irfft(spectrum / frequency**exponent, len(noise)).astype(np.float32)

"""WAV files of 16 kHz, and a reader that needs no media library."""

import io
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from whisperlive_hybrid.errors import BadAudio
from whisperlive_hybrid.types import SAMPLE_RATE, Samples


@dataclass(frozen=True)
class WavReader:
    """A recording in 16 kHz mono s16, which needs no decoding."""

    samples: Samples

    @property
    def duration_s(self) -> float | None:
        """Its duration."""
        return len(self.samples) / SAMPLE_RATE

    def blocks(self) -> Iterator[Samples]:
        """Yield half a second at a time."""
        yield from np.split(self.samples, range(8000, len(self.samples), 8000))


@contextmanager
def open_wav(file: BinaryIO, /, **_options: object) -> Iterator[WavReader]:
    """Stand in for the media decoder."""
    try:
        with wave.open(file, "rb") as reader:
            pcm = np.frombuffer(reader.readframes(reader.getnframes()), np.int16)
    except (wave.Error, EOFError) as error:
        raise BadAudio("The audio file could not be decoded.") from error
    yield WavReader(pcm.astype(np.float32) / np.float32(32768))


def write_wav(samples: Samples) -> bytes:
    """Return samples as a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        writer.writeframes((samples * 32768).round().astype(np.int16).tobytes())
    return file.getvalue()

"""Raw PCM bytes of a live stream, in any split, to mono float32 samples.

Frames carry no header and no framing (protocol page, 1.3): a sample may be torn apart by a frame
border, and its bytes are carried over. A client that announces no format but sends int16 is
common; `PcmReader` recognises it, because two int16 samples read as one float32 soon make NaN
(any small negative sample has an exponent of all ones) or an absurdly large number.
"""

from enum import Enum
from typing import Final

import numpy as np

from whisperlive_hybrid.types import SAMPLE_RATE, Samples


class PcmFormat(Enum):
    """Sample formats of the wire, all little-endian and mono at 16 kHz."""

    FLOAT32 = "float32"
    INT16 = "int16"
    UINT8 = "uint8"

    @property
    def width(self) -> int:
        """Bytes per sample."""
        return _WIDTHS[self]


_WIDTHS: Final = {PcmFormat.FLOAT32: 4, PcmFormat.INT16: 2, PcmFormat.UINT8: 1}

LOUDEST_FLOAT: Final = 8.0
"""No sane float stream exceeds it; full scale is 1."""

QUIETEST_FLOAT: Final = 1e-6
"""Anything quieter tells nothing: small int16 values look like it."""

UNDECIDED_BYTES: Final = SAMPLE_RATE * 4
"""How much leading digital silence waits for a hint at its format: 1 s of float32. More of it is
passed on as silence, and the question stays open."""

INSANE_SHARE: Final = 0.1
"""Of the values that are not zero; int16 read as float32 has about a half, float32 hardly one."""


class PcmReader:
    """Turns the bytes of one stream into samples; float32 that can be no audio becomes silence."""

    def __init__(self, declared: PcmFormat | None = None) -> None:
        """`declared` is what the client announced; None to find out, with float32 the default."""
        self.format = declared
        self.is_doubtful = False
        """Whether float32 samples were too loud to be any, and read as silence."""
        self._pending = b""

    def read(self, payload: bytes) -> Samples:
        """The samples that `payload` completes; shape (n,), n may be 0."""
        raw = self._pending + payload
        self.format = self.format or _recognise(raw)
        if self.format is None and len(raw) < UNDECIDED_BYTES:
            self._pending = raw
            return np.zeros(0, np.float32)
        return self._whole_samples(raw)

    def flush(self) -> Samples:
        """What was still waiting for a decision; a torn last sample is no sample."""
        return self._whole_samples(self._pending)

    def _whole_samples(self, raw: bytes) -> Samples:
        chosen = self.format or PcmFormat.FLOAT32
        whole = len(raw) - len(raw) % chosen.width
        self._pending = raw[whole:]
        samples = _samples(raw[:whole], chosen)
        if chosen is PcmFormat.FLOAT32:
            self.is_doubtful |= _silence_what_is_no_audio(samples)
        return samples


def _recognise(raw: bytes) -> PcmFormat | None:
    """The format of an undeclared stream, or None while it could still be either."""
    loudness = np.abs(np.frombuffer(raw, "<f4", count=len(raw) // 4))
    n_sane = np.count_nonzero((loudness > QUIETEST_FLOAT) & (loudness <= LOUDEST_FLOAT))
    n_insane = np.count_nonzero(~(loudness <= LOUDEST_FLOAT))  # NaN compares false
    if n_sane + n_insane == 0:
        return None
    share = n_insane / (n_sane + n_insane)
    return PcmFormat.INT16 if share > INSANE_SHARE else PcmFormat.FLOAT32


def _samples(raw: bytes, pcm_format: PcmFormat) -> Samples:
    if pcm_format is PcmFormat.INT16:
        return np.frombuffer(raw, "<i2").astype(np.float32) / np.float32(32768)
    if pcm_format is PcmFormat.UINT8:
        return (np.frombuffer(raw, np.uint8).astype(np.float32) - 128) / np.float32(128)
    return np.frombuffer(raw, "<f4").astype(np.float32)


def _silence_what_is_no_audio(samples: Samples) -> bool:
    """Set what is not finite or louder than any stream to 0; whether there was much too loud.

    Such numbers would overflow in the model's features. A few of them, as a damaged stream has, are
    no reason to doubt its format.
    """
    if not len(samples) or np.abs(samples).max() <= LOUDEST_FLOAT:  # NaN compares false
        return False
    is_insane = ~(np.abs(samples) <= LOUDEST_FLOAT)
    samples[is_insane] = 0
    return bool(np.count_nonzero(is_insane) > INSANE_SHARE * len(samples))

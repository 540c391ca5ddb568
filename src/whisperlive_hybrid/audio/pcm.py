"""Encoded samples of a live stream, in any split, to mono float32 samples at 16 kHz.

WhisperLive frames have no header (protocol page, 1.3): a frame may end inside of a sample, whose
bytes are kept for the next frame. Many clients declare no format and send int16; `PcmReader`
detects it, because two int16 samples read as one float32 are mostly NaN (any small negative sample
has an exponent of all ones) or far too large.

A few such numbers are no proof: a float32 client that divides by the peak of silence begins with
frames of NaN. So bytes are held back until there is more evidence, and the format that was detected
applies to the whole stream.
"""

from enum import Enum
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import soxr

from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.types import SAMPLE_RATE, Samples


class PcmFormat(Enum):
    """Encodings of samples in live streams, all little-endian and mono."""

    FLOAT32 = "float32"
    INT16 = "int16"
    UINT8 = "uint8"
    MULAW = "mulaw"
    """G.711 µ-law, of telephones in North America and Japan."""
    ALAW = "alaw"
    """G.711 A-law, of telephones elsewhere."""

    @property
    def width(self) -> int:
        """Bytes per sample."""
        return _WIDTHS[self]


_WIDTHS: Final = {
    PcmFormat.FLOAT32: 4,
    PcmFormat.INT16: 2,
    PcmFormat.UINT8: 1,
    PcmFormat.MULAW: 1,
    PcmFormat.ALAW: 1,
}

LOWEST_RATE: Final = 8_000
HIGHEST_RATE: Final = 48_000
"""Sample rates of live streams, in Hz: from telephones to browsers."""

LOUDEST_FLOAT: Final = 8.0
"""Largest plausible sample. Full scale is 1; codecs and mixers overshoot it, but not by so much."""

QUIETEST_FLOAT: Final = 1e-6
"""Smallest float32 that is evidence of its format: pairs of small int16 samples look like less."""

UNDECIDED_BYTES: Final = SAMPLE_RATE * 4
"""Bytes without evidence, such as digital silence, that are held back: 1 s of float32. More of them
are returned as silence, while the format stays undecided."""

LONGEST_DOUBT_BYTES: Final = 2 * UNDECIDED_BYTES
"""Most bytes that are held back from the first evidence on."""

ENOUGH_EVIDENCE: Final = 400
"""Numbers that are needed as evidence: 25 ms of float32, 50 ms of most int16."""

INT16_SHARE: Final = 0.6
"""Share of the evidence that must be for int16. In speech and noise of all levels, read in pieces
of 16 kB as float32, int16 had never less than 0.75; float32 has almost none."""

LARGEST_STEP: Final = 12_000
"""Largest root mean square of the steps between int16 samples of sound. With a random half, such as
the lower half of a float32, it is above 18,900; speech without clipping has less than 3,300."""

DOUBTFUL_SHARE: Final = 0.1
"""Share of muted samples in a frame above which the declared format is probably wrong."""


class PcmReader:
    """Decodes the bytes of one stream to samples; impossible float32 values become silence."""

    def __init__(self, declared: PcmFormat | None = None, rate: int = SAMPLE_RATE) -> None:
        """`declared` is the client's format; None to detect float32 or int16, float32 by default.

        `rate` is the client's sample rate; samples are returned at 16 kHz. Raise `BadRequest` for
        one that is not supported.
        """
        if not LOWEST_RATE <= rate <= HIGHEST_RATE:
            raise BadRequest(
                f"The sample rate is {rate} Hz; use one between {LOWEST_RATE} and {HIGHEST_RATE}."
            )
        self.format = declared
        # Its default quality keeps everything below 0.91 of the lower rate's half, and its stream
        # object carries the filter over from block to block.
        self._resampler = None if rate == SAMPLE_RATE else soxr.ResampleStream(rate, SAMPLE_RATE, 1)
        self.is_doubtful = False
        """True if many float32 samples of one frame were impossible, and became silence."""
        self._pending = b""
        self._n_int16 = 0  # evidence of int16 in `_pending`
        self._int16_frames = 0  # frames that added to it

    def read(self, payload: bytes) -> Samples:
        """Return the samples that `payload` completes; shape (n,), n may be 0."""
        held = len(self._pending)
        self._pending += payload
        n_bytes = len(self._pending)
        if self.format is None:
            evidence = _count_evidence(self._pending)
            self._int16_frames += evidence.n_int16 > self._n_int16
            self._n_int16 = evidence.n_int16
            has_waited = held - evidence.start >= LONGEST_DOUBT_BYTES
            self.format = self._decide(evidence, has_waited=has_waited)
            if self.format is None and not has_waited:
                # Bytes without evidence are silence in either format.
                n_bytes = evidence.start if evidence.start >= UNDECIDED_BYTES else 0
            else:
                self._n_int16 = self._int16_frames = 0
        return self._resample(self._take(n_bytes))

    def flush(self) -> Samples:
        """Return the samples that were held back; an incomplete last sample is dropped."""
        if self.format is None:
            evidence = _count_evidence(self._pending)
            is_int16 = evidence.is_enough and evidence.is_mostly_int16
            self.format = PcmFormat.INT16 if is_int16 else PcmFormat.FLOAT32
        return self._resample(self._take(len(self._pending)), is_last=True)

    def _resample(self, samples: Samples, *, is_last: bool = False) -> Samples:
        if self._resampler is None:
            return samples
        resampled: Samples = self._resampler.resample_chunk(samples, last=is_last)
        return resampled

    def _decide(self, evidence: "_Evidence", *, has_waited: bool) -> PcmFormat | None:
        """Return the format of an undeclared stream; None while it could still be either.

        Enough evidence of float32 decides at once. int16 needs two of three signs: evidence in
        more than one frame, steps as small as those of sound, the longest wait.
        """
        if not evidence.is_mostly_int16:
            return PcmFormat.FLOAT32 if evidence.is_enough or (evidence.n and has_waited) else None
        if not evidence.is_enough:
            return None
        # One frame of NaN that a float32 client sends must not decide alone.
        signs = [self._int16_frames > 1, evidence.has_small_steps, has_waited]
        return PcmFormat.INT16 if sum(signs) >= 2 else None

    def _take(self, n_bytes: int) -> Samples:
        """Remove the first `n_bytes` from the pending ones; return their complete samples."""
        chosen = self.format or PcmFormat.FLOAT32
        whole = n_bytes - n_bytes % chosen.width
        samples = _decode_samples(self._pending[:whole], chosen)
        self._pending = self._pending[whole:]
        if chosen is PcmFormat.FLOAT32:
            n_muted = mute_impossible(samples)
            self.is_doubtful |= n_muted > DOUBTFUL_SHARE * len(samples)
        return samples


class _Evidence(NamedTuple):
    """Evidence of the format of bytes that are read as float32."""

    start: int
    """Byte offset of the first number that is evidence, else of the next complete number."""
    n_float32: int
    n_int16: int
    has_small_steps: bool
    """True if the two halves of the evidence of int16 are close to each other, as in sound."""

    @property
    def n(self) -> int:
        return self.n_float32 + self.n_int16

    @property
    def is_enough(self) -> bool:
        return self.n >= ENOUGH_EVIDENCE

    @property
    def is_mostly_int16(self) -> bool:
        return self.n_int16 > INT16_SHARE * self.n


def _count_evidence(raw: bytes) -> _Evidence:
    """Count the numbers that are plausible in only one of the two formats.

    NaN and infinity as results of arithmetic, whose lower half is zero, are no evidence.
    """
    n_floats = len(raw) // 4
    loudness = np.abs(np.frombuffer(raw, "<f4", count=n_floats))
    pairs = np.frombuffer(raw, "<i2", count=2 * n_floats).reshape(-1, 2)
    is_possible = loudness <= LOUDEST_FLOAT  # NaN compares false
    shows_float32 = is_possible & (loudness > QUIETEST_FLOAT)
    shows_int16 = ~is_possible & (pairs[:, 0] != 0)
    shows_any = shows_float32 | shows_int16
    start = int(shows_any.argmax()) if shows_any.any() else n_floats
    first, second = pairs[shows_int16].astype(np.float64).T
    return _Evidence(
        4 * start,
        int(np.count_nonzero(shows_float32)),
        len(first),
        # A constant is no sound, although its steps are small.
        len(first) > 0 and first.std() > 0 and np.square(first - second).mean() < LARGEST_STEP**2,
    )


def _decode_samples(raw: bytes, pcm_format: PcmFormat) -> Samples:
    match pcm_format:
        case PcmFormat.FLOAT32:
            return np.frombuffer(raw, "<f4").astype(np.float32)
        case PcmFormat.INT16:
            return np.frombuffer(raw, "<i2").astype(np.float32) / np.float32(32768)
        case PcmFormat.UINT8:
            return (np.frombuffer(raw, np.uint8).astype(np.float32) - 128) / np.float32(128)
        case PcmFormat.MULAW:
            return _MULAW[np.frombuffer(raw, np.uint8)]
        case PcmFormat.ALAW:
            return _ALAW[np.frombuffer(raw, np.uint8)]


def _mulaw_samples() -> Samples:
    """Return the sample of each byte, by ITU-T G.711: sign, exponent and mantissa, inverted."""
    code = ~np.arange(256, dtype=np.uint8)
    exponent, mantissa = (code >> 4 & 7).astype(np.int32), (code & 15).astype(np.int32)
    size = ((mantissa * 8 + 132) << exponent) - 132
    return (np.where(code & 128, -size, size) / 32768).astype(np.float32)


def _alaw_samples() -> Samples:
    """Return the sample of each byte, by ITU-T G.711: every second bit is inverted."""
    code = np.arange(256, dtype=np.uint8) ^ np.uint8(0x55)
    exponent, mantissa = (code >> 4 & 7).astype(np.int32), (code & 15).astype(np.int32)
    steps = np.where(exponent > 0, mantissa * 16 + 264, mantissa * 16 + 8)
    size = steps << np.maximum(exponent - 1, 0)
    return (np.where(code & 128, size, -size) / 32768).astype(np.float32)


_MULAW: Final = _mulaw_samples()
_ALAW: Final = _alaw_samples()


def mute_impossible(samples: npt.NDArray[np.floating[Any]]) -> int:
    """Set samples that are not finite or above `LOUDEST_FLOAT` to 0, in place; return their number.

    Such samples would overflow in the model's features.
    """
    if not samples.size or np.abs(samples).max() <= LOUDEST_FLOAT:  # NaN compares false
        return 0
    is_impossible = ~(np.abs(samples) <= LOUDEST_FLOAT)
    samples[is_impossible] = 0
    return int(np.count_nonzero(is_impossible))

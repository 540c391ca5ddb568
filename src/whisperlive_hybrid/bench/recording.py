"""A long recording with known words, written to a compressed file piece by piece.

Neither the samples nor the file are ever held: four hours take as little memory as one minute.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer

from whisperlive_hybrid.bench.material import Library, Material
from whisperlive_hybrid.bench.words import words_in
from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.types import SAMPLE_RATE, Samples

PIECE_S: Final = 60.0
"""Composed at a time; no sentence lies across the border of two."""

SHORTEST_S: Final = 10.0
"""Of a recording: room for a sentence or two."""

CLIP_S: Final = 3.0
"""Of the short clip: what somebody waits for while a long file is read."""

LONGEST_FLAC_S: Final = 60 * 60.0
"""Up to it FLAC, 1 MB a minute, loses nothing; beyond it Opus keeps below the upload limit."""

_OPUS_BITS_PER_S: Final = 32_000
_OPUS_OPTIONS: Final[dict[str, object]] = {"compression_level": "0"}
"""The least effort of the encoder: four hours are written in a fifth of the time."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A file on this disk, and what is said in it."""

    file: Path
    language: str
    words: tuple[str, ...]
    """Normalised, in order."""
    duration: float
    """Seconds."""


def record(library: Library, seconds: float, seed: int, file: Path) -> Recording:
    """Compose a recording in the first language of the library; the same numbers, the same audio.

    `file` is given the suffix of its format. Raises `BadRequest` for less than `SHORTEST_S`.
    """
    if seconds < SHORTEST_S:
        raise BadRequest(f"--minutes must be at least {SHORTEST_S / 60:.2f}.")
    return _written(_pieces(library, seconds, seed), file, seconds)


def record_clip(library: Library, seed: int, file: Path) -> Recording:
    """Compose a clip of `CLIP_S` in which something is said, in the first language."""
    clips = (
        library.material(draw * len(library.languages), CLIP_S, seed) for draw in itertools.count()
    )
    clip = next(clip for clip in clips if clip.reference.words)
    return _written([clip], file, CLIP_S)


def _written(pieces: Iterable[Material], file: Path, seconds: float) -> Recording:
    is_long = seconds > LONGEST_FLAC_S
    target = file.with_suffix(".opus" if is_long else ".flac")
    words: list[str] = []
    language = ""
    with av.open(str(target), "w", format="ogg" if is_long else "flac") as container:
        stream = _stream(container, is_long=is_long)
        for piece in pieces:
            language = piece.language
            container.mux(stream.encode(_frame(piece.samples)))
            words += (word for said in piece.reference.words for word in words_in(said.text))
        container.mux(stream.encode(None))
    return Recording(target, language, tuple(words), seconds)


def _pieces(library: Library, seconds: float, seed: int) -> Iterator[Material]:
    """Material of `PIECE_S` each, the last one longer, in the first language."""
    n_pieces = max(1, int(seconds // PIECE_S))
    for piece in range(n_pieces):
        is_last = piece == n_pieces - 1
        length = seconds - piece * PIECE_S if is_last else PIECE_S
        # The languages are spoken in turn: every so many streams it is the first one's.
        yield library.material(piece * len(library.languages), length, seed)


def _stream(container: OutputContainer, *, is_long: bool) -> AudioStream:
    if not is_long:
        return container.add_stream("flac", rate=SAMPLE_RATE, layout="mono")
    stream = container.add_stream("libopus", rate=SAMPLE_RATE, layout="mono")
    stream.bit_rate = _OPUS_BITS_PER_S
    stream.options = _OPUS_OPTIONS
    return stream


def _frame(samples: Samples) -> av.AudioFrame:
    pcm = np.rint(np.clip(samples, -1, 1) * 32767).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(pcm[np.newaxis], format="s16", layout="mono")
    frame.rate = SAMPLE_RATE
    return frame

"""Recordings with known words, for tests that need real speech."""

import json
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from whisperlive_hybrid.types import Samples, Window, WindowSpan


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A recording and its text.

    `words` are (word, end in seconds); `language` is None without speech.
    """

    file: str
    language: str | None
    text: str
    english: str
    words: tuple[tuple[str, float], ...]
    samples: Samples


def read_clips(directory: Path) -> list[Clip]:
    """Return all clips of a directory, in the order of its manifest."""
    entries = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
    return [
        Clip(
            file=entry["file"],
            language=entry["language"],
            text=entry["text"],
            english=entry["english"],
            words=tuple((word, end) for word, end in entry["words"]),
            samples=_decoded(directory / entry["file"]),
        )
        for entry in entries
    ]


def whole_window(samples: Samples) -> Window:
    """Return a recording as one window."""
    return Window(samples, (WindowSpan(0, 0, len(samples)),))


def _decoded(file: Path) -> Samples:
    """Return the samples of a mono 16 kHz FLAC file with 16 bits."""
    with av.open(str(file)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
    samples: Samples = np.concatenate(frames, axis=1)[0].astype(np.float32) / np.float32(32768)
    return samples

"""A folder of clips: FLAC files, and a manifest that says when each of their words ends."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import av
import numpy as np

from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.media import open_audio
from whisperlive_hybrid.types import SAMPLE_RATE, Samples

MANIFEST: Final = "manifest.json"


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip in the manifest; times in s. A clip without speech has no language."""

    file: str
    language: str | None = None
    text: str = ""
    english: str = ""
    words: tuple[tuple[str, float], ...] = ()
    """Each word as written, and when it ends."""
    sentences: tuple[tuple[float, float], ...] = ()
    """Where each sentence begins and ends."""


def read_manifest(folder: Path) -> list[Clip]:
    """Read the manifest of a folder. Raises `BadRequest` if there is none that makes sense."""
    try:
        entries = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return [_clip(entry) for entry in entries]
    except OSError as error:
        raise BadRequest(f"No {MANIFEST} in --clips {folder.name!r}.") from error
    except (ValueError, TypeError, KeyError) as error:
        raise BadRequest(
            f"{MANIFEST} in --clips {folder.name!r} is not a list of clips."
        ) from error


def write_manifest(folder: Path, clips: Sequence[Clip]) -> None:
    """Write the manifest of a folder."""
    text = json.dumps([asdict(clip) for clip in clips], ensure_ascii=False, indent=1)
    (folder / MANIFEST).write_text(text, encoding="utf-8")


def read_samples(path: Path) -> Samples:
    """Read the whole of a clip."""
    with path.open("rb") as file, open_audio(file) as reader:
        return np.concatenate(list(reader.blocks()))


def write_samples(path: Path, samples: Samples) -> None:
    """Write (n,) float32 as 16-bit FLAC."""
    pcm = np.rint(np.clip(samples, -1, 1) * 32767).astype(np.int16)
    with av.open(str(path), "w", format="flac") as container:
        stream = container.add_stream("flac", rate=SAMPLE_RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(pcm[np.newaxis], format="s16", layout="mono")
        frame.rate = SAMPLE_RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _clip(entry: dict[str, Any]) -> Clip:
    return Clip(
        file=entry["file"],
        language=entry["language"],
        text=entry["text"],
        english=entry["english"],
        words=tuple((str(word), float(end)) for word, end in entry["words"]),
        sentences=tuple((float(start), float(end)) for start, end in entry["sentences"]),
    )

"""Recordings with reference texts, from a directory with .txt files or with a manifest."""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.media.suffixes import MEDIA_SUFFIXES

MANIFEST: Final = "manifest.jsonl"

TRUSTED: Final = frozenset({"repo", "known", "constructed"})
"""Values of `ref` whose texts are reliable references; recordings with others are not scored."""

NON_SPEECH: Final = "non-speech"
"""The value of `ref` for recordings without speech, where every word of a text is invented."""

UNDETERMINED: Final = "und"
"""The code of an unknown language (ISO 639-2)."""


@dataclass(frozen=True, slots=True)
class TimedText:
    """A segment of a text on the recording clock, or a reference turn (or word) with its times."""

    start: float
    end: float
    text: str


@dataclass(frozen=True, slots=True)
class LabelledRecording:
    """A recording with its reference text."""

    id: str
    file: Path
    language: str | None
    """Whisper's code; None where the model must detect the language."""
    kind: str
    """The kind of recording, such as "telephone"; without a manifest, the directory."""
    reference: str
    """The spoken text; empty for a recording without speech."""
    turns: tuple[TimedText, ...] = ()
    """Parts of the reference with known ends; a turn may be a single word."""


def read_labelled_recordings(directory: Path, language: str | None) -> list[LabelledRecording]:
    """Return the recordings of a directory's manifest, or else those with .txt files.

    `language` is that of recordings with .txt files. Raises `BadRequest` if there are no
    recordings to score, or the manifest is invalid.
    """
    manifest = directory / MANIFEST
    if manifest.is_file():
        recordings = list(_read_manifest(manifest))
    else:
        recordings = list(_find_with_texts(directory, language))
    if not recordings:
        raise BadRequest(
            f"{directory} holds no recording with a reference: NAME.txt beside NAME.wav, or "
            f"{MANIFEST} (docs/evaluate.md)."
        )
    return recordings


def select_recordings(
    recordings: Sequence[LabelledRecording],
    kinds: Collection[str],
    languages: Collection[str],
    limit: int | None,
) -> list[LabelledRecording]:
    """Return the recordings of these kinds and languages; an empty collection selects all.

    At most `limit` of each kind in each language, the first ones. Raises `BadRequest` for a name
    that no recording has, since a typing error would otherwise give figures of other recordings.
    """
    known_kinds = {recording.kind for recording in recordings}
    known_languages = {recording.language or UNDETERMINED for recording in recordings}
    for option, names, known in (
        ("--kinds", kinds, known_kinds),
        ("--languages", languages, known_languages),
    ):
        if unknown := set(names) - known:
            raise BadRequest(
                f"{option}: there is no {min(unknown)!r}; there is {', '.join(sorted(known))}."
            )
    counts: Counter[tuple[str, str | None]] = Counter()
    selected = []
    for recording in recordings:
        if kinds and recording.kind not in kinds:
            continue
        if languages and (recording.language or UNDETERMINED) not in languages:
            continue
        counts[recording.kind, recording.language] += 1
        if limit is None or counts[recording.kind, recording.language] <= limit:
            selected.append(recording)
    if not selected:
        raise BadRequest("No recording is of these kinds and languages at once.")
    for recording in selected:  # now, and not after an hour with the other recordings
        if not recording.file.is_file():
            raise BadRequest(f"Recording {recording.id!r}: there is no file {recording.file}.")
    return selected


def _find_with_texts(directory: Path, language: str | None) -> Iterator[LabelledRecording]:
    for file in sorted(directory.rglob("*")):
        text = file.with_suffix(".txt")
        if file.suffix.lower() not in MEDIA_SUFFIXES or not text.is_file():
            continue
        if language is None:
            raise BadRequest("Recordings with .txt files need --language, such as en.")
        inside = file.relative_to(directory)
        yield LabelledRecording(
            id=str(inside),
            file=file,
            language=language,
            kind=inside.parent.as_posix(),
            reference=text.read_text(encoding="utf-8").strip(),
        )


def _read_manifest(manifest: Path) -> Iterator[LabelledRecording]:
    lines = manifest.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry: dict[str, Any] = json.loads(line)
            reference, trust = entry.get("text"), entry.get("ref", "known")
            if trust == NON_SPEECH:
                reference = ""
            elif reference is None or trust not in TRUSTED:
                continue
            language = entry["language"]
            turns = entry.get("turns")
            turn_text = (manifest.parent / turns).read_text(encoding="utf-8") if turns else "[]"
            yield LabelledRecording(
                id=entry["id"],
                file=manifest.parent / entry["file"],
                language=None if language == UNDETERMINED else language,
                kind=entry["kind"],
                reference=reference,
                turns=tuple(
                    TimedText(turn["start"], turn["end"], turn["text"])
                    for turn in json.loads(turn_text)
                ),
            )
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            raise BadRequest(f"{manifest.name}, line {number} cannot be read: {error}.") from error

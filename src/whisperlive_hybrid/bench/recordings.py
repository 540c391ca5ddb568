"""Recordings with reference texts: a directory with .txt files, or with a manifest."""

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
"""Values of `ref` under which a text is taken for what was said; any other is not scored."""

NON_SPEECH: Final = "non-speech"
"""The value of `ref` for recordings in which every word of a text is invented."""

UNDETERMINED: Final = "und"
"""The code of a language that is not known (ISO 639-2)."""


@dataclass(frozen=True, slots=True)
class Cue:
    """A segment of a text on the recording clock, or a reference turn (or word) with its times."""

    start: float
    end: float
    text: str


@dataclass(frozen=True, slots=True)
class LabelledRecording:
    """A recording and what is said in it."""

    id: str
    file: Path
    language: str | None
    """Whisper's code; None where there is none, and the model detects it."""
    kind: str
    """How it was recorded, such as "telephone"; of files without a manifest, their directory."""
    reference: str
    """What is said; empty where every word is invented."""
    turns: tuple[Cue, ...] = ()
    """Stretches of the reference whose ends are known; a turn may be a single word."""


def labelled_recordings(directory: Path, language: str | None) -> list[LabelledRecording]:
    """Read what can be scored in a directory: its manifest, or else its .txt files.

    `language` is that of recordings beside .txt files, which say none. Raises `BadRequest` where
    there is nothing to score, or the manifest cannot be read.
    """
    manifest = directory / MANIFEST
    found = list(_listed(manifest) if manifest.is_file() else _beside_texts(directory, language))
    if not found:
        raise BadRequest(
            f"{directory} holds no recording with a reference: NAME.txt beside NAME.wav, or "
            f"{MANIFEST} (docs/evaluate.md)."
        )
    return found


def chosen(
    recordings: Sequence[LabelledRecording],
    kinds: Collection[str],
    languages: Collection[str],
    limit: int | None,
) -> list[LabelledRecording]:
    """Return those of the kinds and languages, all where none are named.

    At most `limit` of each kind in each language, the first ones. Raises `BadRequest` for a name
    that no recording has, since a typing error would otherwise leave figures of other recordings.
    """
    known_kinds = {each.kind for each in recordings}
    known_languages = {each.language or UNDETERMINED for each in recordings}
    for option, named, known in (
        ("--kinds", kinds, known_kinds),
        ("--languages", languages, known_languages),
    ):
        if unknown := set(named) - known:
            raise BadRequest(
                f"{option}: there is no {min(unknown)!r}; there is {', '.join(sorted(known))}."
            )
    taken: Counter[tuple[str, str | None]] = Counter()
    found = []
    for each in recordings:
        if kinds and each.kind not in kinds:
            continue
        if languages and (each.language or UNDETERMINED) not in languages:
            continue
        taken[each.kind, each.language] += 1
        if limit is None or taken[each.kind, each.language] <= limit:
            found.append(each)
    if not found:
        raise BadRequest("No recording is of these kinds and languages at once.")
    for each in found:  # now, and not after an hour of reading the others
        if not each.file.is_file():
            raise BadRequest(f"Recording {each.id!r}: there is no file {each.file}.")
    return found


def _beside_texts(directory: Path, language: str | None) -> Iterator[LabelledRecording]:
    for file in sorted(directory.rglob("*")):
        text = file.with_suffix(".txt")
        if file.suffix.lower() not in MEDIA_SUFFIXES or not text.is_file():
            continue
        if language is None:
            raise BadRequest("Files beside .txt name no language: give --language, such as en.")
        inside = file.relative_to(directory)
        yield LabelledRecording(
            id=str(inside),
            file=file,
            language=language,
            kind=inside.parent.as_posix(),
            reference=text.read_text(encoding="utf-8").strip(),
        )


def _listed(manifest: Path) -> Iterator[LabelledRecording]:
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
            yield LabelledRecording(
                id=entry["id"],
                file=manifest.parent / entry["file"],
                language=None if language == UNDETERMINED else language,
                kind=entry["kind"],
                reference=reference,
                turns=_turns(manifest.parent / turns) if turns else (),
            )
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            raise BadRequest(f"{manifest.name}, line {number} cannot be read: {error}.") from error


def _turns(file: Path) -> tuple[Cue, ...]:
    turns = json.loads(file.read_text(encoding="utf-8"))
    return tuple(Cue(turn["start"], turn["end"], turn["text"]) for turn in turns)

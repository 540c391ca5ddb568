import json
from pathlib import Path

import pytest

from whisperlive_hybrid.bench.recordings import (
    LabelledRecording,
    TimedText,
    read_labelled_recordings,
    select_recordings,
)
from whisperlive_hybrid.errors import BadRequest


def listed(directory: Path, *entries: dict[str, object]) -> list[LabelledRecording]:
    """What is found under a manifest of `entries`, each with what every entry has."""
    common = {"file": "clip.wav", "language": "en", "kind": "read"}
    lines = [json.dumps(common | {"id": str(n)} | entry) for n, entry in enumerate(entries)]
    (directory / "manifest.jsonl").write_text("\n".join(lines) + "\n\n", encoding="utf-8")
    return read_labelled_recordings(directory, None)


def recordings(directory: Path) -> list[LabelledRecording]:
    """Two of each of two kinds in two languages."""
    (directory / "clip.wav").touch()
    entries: list[dict[str, object]] = [
        {"language": language, "kind": kind, "text": "x"}
        for language in ("en", "de")
        for kind in ("read", "telephone")
        for _ in range(2)
    ]
    return listed(directory, *entries)


def test_texts_beside_recordings_are_references(tmp_path: Path) -> None:
    """The directory is the kind, an empty text is for noise, audio without a text is left out."""
    for name in ("a.wav", "a.txt", "b.mp3", "calls/c.FLAC", "calls/c.txt", "noise.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(" Größe \n" if name == "a.txt" else "", encoding="utf-8")
    found = read_labelled_recordings(tmp_path, "de")
    assert [(recording.id, recording.kind, recording.reference) for recording in found] == [
        ("a.wav", ".", "Größe"),
        ("calls/c.FLAC", "calls", ""),
    ]
    assert {recording.language for recording in found} == {"de"}
    with pytest.raises(BadRequest, match="--language"):
        read_labelled_recordings(tmp_path, None)


def test_a_manifest_says_what_can_be_trusted(tmp_path: Path) -> None:
    """Unreliable texts are not scored, and the reference of non-speech is empty."""
    found = listed(
        tmp_path,
        {"text": "a", "ref": "repo"},
        {"text": "b", "ref": "repo-unverified"},
        {"text": "c"},
        {"ref": "known"},
        {"language": "und", "ref": "non-speech"},
    )
    assert [(recording.id, recording.reference) for recording in found] == [
        ("0", "a"),
        ("2", "c"),
        ("4", ""),
    ]
    assert [recording.language for recording in found] == ["en", "en", None]


def test_turns_have_known_ends(tmp_path: Path) -> None:
    """They lie in a file that the manifest names."""
    turns = [{"start": 0.5, "end": 1.5, "text": "a b", "speaker": "1"}]
    (tmp_path / "turns.json").write_text(json.dumps(turns), encoding="utf-8")
    (found,) = listed(tmp_path, {"text": "a b", "turns": "turns.json"})
    assert found.turns == (TimedText(0.5, 1.5, "a b"),)


@pytest.mark.parametrize("line", ["{", '["a"]', '{"text": "a"}', '{"turns": "no.json"}'])
def test_a_line_that_cannot_be_read_is_named(tmp_path: Path, line: str) -> None:
    """With its number."""
    whole = {"id": "0", "file": "f", "language": "en", "kind": "k", "text": "a"}
    second = json.dumps(whole | json.loads(line)) if "turns" in line else line
    (tmp_path / "manifest.jsonl").write_text(f"{json.dumps(whole)}\n{second}", encoding="utf-8")
    with pytest.raises(BadRequest, match=r"manifest\.jsonl, line 2 "):
        read_labelled_recordings(tmp_path, None)


def test_where_there_is_nothing_the_user_learns_what_is_needed(tmp_path: Path) -> None:
    """Audio alone cannot be scored."""
    (tmp_path / "a.wav").touch()
    with pytest.raises(BadRequest, match=r"NAME\.txt beside NAME\.wav"):
        read_labelled_recordings(tmp_path, "en")


def test_kinds_languages_and_a_number_are_chosen(tmp_path: Path) -> None:
    """The number is of each kind in each language, the first ones."""
    given = recordings(tmp_path)
    assert select_recordings(given, [], [], None) == given
    assert [recording.id for recording in select_recordings(given, [], [], 1)] == [
        "0",
        "2",
        "4",
        "6",
    ]
    assert [
        recording.id for recording in select_recordings(given, ["telephone"], ["de", "en"], None)
    ] == list("2367")
    assert [recording.id for recording in select_recordings(given, [], ["de"], 1)] == ["4", "6"]


def test_a_choice_that_fits_nothing_is_refused(tmp_path: Path) -> None:
    """A typing error would otherwise leave the figures of other recordings."""
    given = recordings(tmp_path)
    with pytest.raises(BadRequest, match=r"'telefone'; there is read, telephone\."):
        select_recordings(given, ["telefone", "read"], [], None)
    with pytest.raises(BadRequest, match=r"'fr'; there is de, en\."):
        select_recordings(given, [], ["fr"], None)
    with pytest.raises(BadRequest, match="at once"):
        select_recordings([*given[:2], *given[6:]], ["read"], ["de"], None)
    (tmp_path / "clip.wav").unlink()
    with pytest.raises(BadRequest, match=r"Recording '0': there is no file "):
        select_recordings(given, [], [], None)

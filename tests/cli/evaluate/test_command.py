"""`whisperlive evaluate` as a user runs it, with the demo model and the clips that it can read."""

import json
import shutil
from pathlib import Path

import pytest
from command_line import whisperlive
from paths import CLIPS
from speech_clips import Clip
from typer.testing import CliRunner

from whisperlive_hybrid.cli.main import build_app
from whisperlive_hybrid.errors import BadRequest, ModelUnavailable


@pytest.fixture
def directory(tmp_path: Path, clips: list[Clip]) -> Path:
    """Two English sentences and one German, each with its text, and noise."""
    entries = []
    for clip in clips:
        if clip.file in {"en-0.flac", "en-1.flac", "de-0.flac", "noise.flac"}:
            shutil.copy(CLIPS / clip.file, tmp_path)
            entries.append(
                {
                    "id": Path(clip.file).stem,
                    "file": clip.file,
                    "language": clip.language or "und",
                    "kind": "read" if clip.text else "noisy",
                    "text": clip.text,
                    "ref": "constructed" if clip.text else "non-speech",
                }
            )
    lines = map(json.dumps, entries)
    (tmp_path / "manifest.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


def test_a_directory_is_evaluated_beside_faster_whisper(directory: Path) -> None:
    """The table on standard output, progress on standard error, everything in JSON."""
    file = directory / "out.json"
    arguments = [str(directory), "--compare", "faster-whisper", "--json", str(file)]
    done = whisperlive("evaluate", *arguments, "--threads", "1")
    assert done.returncode == 0, done.stderr
    head, *lines = done.stdout.splitlines()
    assert "WER %" in head
    groups = [("de",), ("en",), ("und",), ("all",)]
    readers = ["file", "live", "faster-whisper"]
    assert [tuple(line.split()[:2]) for line in lines] == [
        (*group, reader) for group in groups for reader in readers
    ]
    assert "4/4 " in done.stderr
    made = json.loads(file.read_text(encoding="utf-8"))
    assert (made["model"], made["threads"]) == ("demo", 1)
    assert made["command"].startswith("whisperlive evaluate ")
    english = next(recording for recording in made["recordings"] if recording["id"] == "en-0")
    assert english["readers"]["file"]["text"] == "Oscar buys the picture."
    total = {row["reader"]: row for row in made["figures"] if row["language"] == "all"}
    for way in ("file", "live"):
        assert total[way]["wer"]["value"] < 0.1
        assert total[way]["invented_words"] == 0
        assert total[way]["cpu_per_audio_s"] > 0


def test_texts_beside_recordings_and_one_way(directory: Path) -> None:
    """The operator's own recordings need no manifest."""
    (directory / "manifest.jsonl").unlink()
    (directory / "en-0.txt").write_text("Oscar buys the picture.", encoding="utf-8")
    done = whisperlive("evaluate", str(directory), "--language", "en", "--ways", "file")
    assert done.returncode == 0, done.stderr
    _, *lines = done.stdout.splitlines()
    assert [line.split()[:4] for line in lines] == [
        ["en", "file", "1", "4"],
        ["all", "file", "1", "4"],
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ways", "fast"], "--ways='fast'"),
        (["--ways", ""], "--ways=''"),
        (["--kinds", "song"], "--kinds: there is no 'song'"),
        (["--compare", "whisperx"], "--compare: unknown peer 'whisperx'"),
    ],
)
def test_what_cannot_be_honoured_is_refused(
    directory: Path, arguments: list[str], message: str
) -> None:
    """In one line, before anything is read."""
    result = CliRunner().invoke(build_app(), ["evaluate", str(directory), *arguments])
    assert isinstance(result.exception, BadRequest)
    assert result.exception.message.startswith(message)


def test_a_missing_package_is_named(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to install: the packages are an extra."""
    monkeypatch.setattr(
        "whisperlive_hybrid.cli.evaluate.command.find_spec", lambda name: name != "jiwer" or None
    )
    result = CliRunner().invoke(build_app(), ["evaluate", str(directory)])
    assert isinstance(result.exception, ModelUnavailable)
    assert "whisperlive-hybrid-server[evaluate]" in result.exception.message

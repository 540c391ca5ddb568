"""The command line, run as a user runs it: a process of its own."""

import json
import subprocess
from pathlib import Path

import pytest
from command_line import ENGLISH, ENVIRONMENT, command, start, whisperlive
from paths import CLIPS

from whisperlive_hybrid.cli.main import sample_clip


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "nosuchmodel"], "Unknown model 'nosuchmodel'"),
        (["--model", "small"], "HF_HUB_OFFLINE keeps it from being downloaded"),
        (["--model", "/nonexistent/model"], "no model directory"),
        (["--backend", "tensorrt"], "needs the package tensorrt_llm"),
        (["--backend", "openvino"], "'demo' is in CTranslate2's format, not OpenVINO's"),
        (["--backend", "abacus"], "backend='abacus'"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_one_line(arguments: list[str], words: str) -> None:
    """`serve` ends at once with exit code 1 and says what to do, without a stack."""
    done = whisperlive("serve", "--live-port", "0", "--http-port", "0", *arguments)
    assert done.returncode == 1
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_wrong_setting_is_one_line() -> None:
    """The environment is checked like an option."""
    done = whisperlive("serve", HTTP_PORT="eighty")
    assert done.returncode == 1
    assert "HTTP_PORT='eighty'" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "arguments", [["version"], ["settings", "--markdown"], ["transcribe", str(sample_clip())]]
)
def test_output_that_cannot_be_written_is_one_line(arguments: list[str], unbuffered: str) -> None:
    """A full disk behind `>`: exit code 1, whenever Python really writes what it was given."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command(*arguments),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=90,
            check=False,
            env={**ENVIRONMENT, "PYTHONUNBUFFERED": unbuffered},
        )
    assert done.returncode == 1
    assert done.stderr == "Error: Standard output cannot be written: No space left on device.\n"


def test_a_closed_pipe_is_no_error() -> None:
    """As of every command in a pipe."""
    process = start("settings", "--markdown")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr as errors:
        assert errors.read() == ""
    assert process.wait(90) == 1


def test_models_lists_demo_and_sizes() -> None:
    """`models` lists what can be named, and says that demo is not a real model."""
    done = whisperlive("models", COLUMNS="140")
    assert "for tests only" in done.stdout
    assert "large-v3-turbo" in done.stdout
    assert "the default is base" in done.stderr


@pytest.fixture
def sentences(tmp_path: Path) -> Path:
    """A directory with 16 recordings of a sentence each, half a minute of English."""
    directory = tmp_path / "sentences"
    directory.mkdir()
    for clip in CLIPS.glob("en-[0-9].flac"):
        for copy in ("a", "b"):
            (directory / f"{copy}-{clip.name}").symlink_to(clip)
    return directory


def test_calibration_is_shown_and_written_where_it_may_be(sentences: Path, tmp_path: Path) -> None:
    """Little speech is refused in one line; with --force the card is written, and then used."""
    card = tmp_path / "card.json"
    spoken, clip = str(sentences), str(sample_clip())
    refused = whisperlive("calibrate", spoken, "--language", "en", "--card", str(card))
    assert refused.returncode == 1
    assert "s of speech" in refused.stderr.splitlines()[-1]
    assert not card.exists()
    done = whisperlive("calibrate", spoken, "--language", "en", "--card", str(card), "--force")
    assert done.returncode == 0, done.stderr
    assert "loses nothing" in done.stdout
    written = json.loads(card.read_text())
    assert (written["shortest_context_s"], written["silent_tail"]) == (5.0, True)
    assert written["short_context_languages"] == ["en"]
    used = whisperlive("transcribe", clip, WHISPERLIVE_MODEL_CARD=str(card))
    assert (used.returncode, used.stdout) == (0, ENGLISH + "\n")
    card.unlink()
    missing = whisperlive("transcribe", clip, WHISPERLIVE_MODEL_CARD=str(card))
    assert missing.returncode == 1
    assert "no model card" in missing.stderr


def test_a_calibration_can_be_looked_at_only(sentences: Path, tmp_path: Path) -> None:
    """--dry-run says what it would write, and says when there was too little speech."""
    card = tmp_path / "card.json"
    options = ("--dry-run", "--no-silent-tail", "--card", str(card), "--language", "en")
    done = whisperlive("calibrate", str(sentences), *options)
    assert done.returncode == 0, done.stderr
    assert "Shortest context that loses nothing: 5 s (without a silent tail, in en)." in done.stderr
    assert "s of speech" in done.stderr
    assert not card.exists()


def test_a_card_that_cannot_be_written_is_an_error_before_the_work(tmp_path: Path) -> None:
    """A read-only directory is an error at once, not after an hour of computing."""
    card = tmp_path / "nowhere" / "card.json"
    done = whisperlive("calibrate", str(sample_clip()), "--force", "--card", str(card))
    assert done.returncode == 1
    assert "--card" in done.stderr
    assert done.stderr.count("\n") == 1

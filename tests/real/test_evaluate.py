"""`whisperlive evaluate` with Whisper base on recordings of people, beside faster-whisper."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import ENVIRONMENT, command


@pytest.mark.timeout(600)
def test_base_is_evaluated_on_people(
    speech_dir: Path, real_model_dir: Callable[[str], Path], tmp_path: Path
) -> None:
    """A call by telephone, and silence: figures of every reader, in the range of base."""
    file = tmp_path / "out.json"
    arguments = [str(speech_dir), "--kinds", "telephone,silence", "--limit", "1"]
    arguments += ["--compare", "faster-whisper", "--json", str(file), "--threads", "1"]
    arguments += ["--model", str(real_model_dir("base")), "--languages", "en,und"]
    done = subprocess.run(
        command("evaluate", *arguments),
        capture_output=True,
        text=True,
        check=False,
        env=ENVIRONMENT,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(file.read_text(encoding="utf-8"))["figures"]
    english = {row["reader"]: row for row in figures if row["language"] == "en"}
    assert english.keys() == {"file", "live", "faster-whisper"}
    for row in english.values():
        assert row["words"] > 50
        assert row["wer"]["value"] < 0.3
        assert row["cpu_per_audio_s"] > 0
    silent = {row["reader"]: row for row in figures if row["language"] == "und"}
    assert silent["file"]["invented_words"] == silent["live"]["invented_words"] == 0

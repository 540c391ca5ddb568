"""Clips of people for the benchmark, whose word ends a model finds."""

import shutil
from pathlib import Path

import pytest
from real_helpers import Recording
from typer.testing import CliRunner

from whisperlive_hybrid.bench.command import bench_app
from whisperlive_hybrid.bench.corpus import Corpus, read_manifest

NAME = "ls-1998-15444-0000"


@pytest.mark.usefixtures("models")
def test_words_of_a_recording_end_one_after_the_other(
    recordings: dict[str, Recording], tmp_path: Path
) -> None:
    """Each word of the text once, inside of the recording, and streams can be made of it."""
    recording = recordings[NAME]
    shutil.copy(recording.file, tmp_path)
    (tmp_path / recording.file.name).with_suffix(".txt").write_text(recording.text)
    clips = tmp_path / "clips"
    options = ["align-clips", str(tmp_path), "--out", str(clips), "--language", "en"]
    result = CliRunner().invoke(bench_app, options, catch_exceptions=False)
    assert result.output.startswith("1 clips in ")
    [clip] = read_manifest(clips)
    assert [word for word, _ in clip.words] == recording.text.split()
    ends = [end for _, end in clip.words]
    assert ends == sorted(ends)
    [(start, end)] = clip.sentences
    assert 0 <= start < ends[0]
    assert ends[-1] == end <= recording.seconds
    assert Corpus.read(clips).languages == ("en",)

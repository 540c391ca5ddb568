"""Long recordings on disk."""

from pathlib import Path

import numpy as np
import pytest

from whisperlive_hybrid.bench import corpus as recording
from whisperlive_hybrid.bench.corpus import Corpus, compose_clip, compose_recording, read_samples
from whisperlive_hybrid.bench.scoring import words_in
from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.types import SAMPLE_RATE


@pytest.fixture(scope="module")
def corpus(clip_folder: Path) -> Corpus:
    """What can be said in English."""
    return Corpus.read(clip_folder, ["en"])


def test_a_recording_holds_what_it_says(corpus: Corpus, tmp_path: Path) -> None:
    """The file is as long as asked, and piece by piece it is the library's material."""
    made = compose_recording(corpus, 125, 3, tmp_path / "long")
    samples = read_samples(made.file)
    pieces = [corpus.compose_speech(0, 60, 3), corpus.compose_speech(1, 65, 3)]
    assert made.duration == len(samples) / SAMPLE_RATE == 125
    assert np.allclose(samples, np.concatenate([p.samples for p in pieces]), atol=1e-4)
    said = " ".join(word.text for piece in pieces for word in piece.reference.words)
    assert made.words == words_in(said)


def test_a_very_long_recording_is_compressed_further(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four hours must fit the upload limit of 100 MiB: Opus, under 5 kB a second."""
    monkeypatch.setattr(recording, "LONGEST_FLAC_S", 20)
    made = compose_recording(corpus, 30, 0, tmp_path / "long")
    assert made.file.suffix == ".opus"
    assert made.file.stat().st_size < 5000 * 30
    assert len(read_samples(made.file)) / SAMPLE_RATE == pytest.approx(30, abs=0.1)


def test_the_clip_says_something(corpus: Corpus, tmp_path: Path) -> None:
    """Three seconds of pause would measure nothing."""
    for seed in range(5):
        clip = compose_clip(corpus, seed, tmp_path / "clip")
        assert clip.words
        assert len(read_samples(clip.file)) == 3 * SAMPLE_RATE


def test_too_short_a_recording_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    """There would be no word in it."""
    with pytest.raises(BadRequest, match="--minutes must be at least"):
        compose_recording(corpus, 5, 0, tmp_path / "long")

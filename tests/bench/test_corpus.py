"""Speech of streams, with the times of its words."""

import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from whisperlive_hybrid.bench.corpus import Corpus, Sentence, compose
from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.types import SAMPLE_RATE


def _beeps(count: int) -> list[Sentence]:
    """Sentences of two words that sound for half a second."""
    sound = np.full(SAMPLE_RATE // 2, 0.5, np.float32)
    return [Sentence(sound, ((f"one{place}", 0.2), (f"two{place}", 0.5))) for place in range(count)]


def test_word_ends_are_where_the_sound_ends() -> None:
    """The last word of each sentence ends with its last loud sample, to the sample."""
    speech = compose(_beeps(20), random.Random(1), "en", 30)
    loud = np.abs(speech.samples) > 0.25
    ends = (np.flatnonzero(loud[:-1] & ~loud[1:]) + 1) / SAMPLE_RATE
    last_words = [word.end for word in speech.reference.words if "two" in word.text]
    assert last_words == pytest.approx(list(ends), abs=1e-9)


def test_a_word_before_a_long_enough_pause_ends_speech() -> None:
    """Exactly the words that are followed by 1.0 s of silence end speech."""
    words = compose(_beeps(40), random.Random(2), "en", 60).reference.words
    assert {word.ends_speech for word in words} == {True, False}
    for word, after in pairwise(words):
        assert word.ends_speech == (after.end - 0.2 - word.end >= 1.0 and "two" in word.text)


def test_every_pause_is_as_long_as_asked() -> None:
    """With pauses of a second and more every sentence ends speech."""
    words = compose(_beeps(40), random.Random(2), "en", 60, shortest_pause=1.0).reference.words
    assert all(word.ends_speech == ("two" in word.text) for word in words)


def test_silences_hold_no_word() -> None:
    """No word is spoken in what counts as silence, and each lasts 2 s or more."""
    reference = compose(_beeps(60), random.Random(3), "en", 90).reference
    assert reference.silences
    for start, end in reference.silences:
        assert end - start >= 2.0
        assert not any(start < word.end < end for word in reference.words)


def test_the_last_final_comes_live() -> None:
    """A second of silence follows the last word, whatever the length."""
    for seed in range(20):
        speech = compose(_beeps(60), random.Random(seed), "en", 10)
        assert speech.duration == 10.0
        assert speech.reference.words[-1].end <= 9.0


def test_the_noise_floor_is_low_and_never_zero() -> None:
    """Silence is not digital: about -66 dB of noise."""
    silence = compose([], random.Random(0), "en", 10).samples
    assert 4e-4 < float(np.sqrt(np.mean(silence**2))) < 6e-4


def test_streams_differ_and_repeat(clip_folder: Path) -> None:
    """The same numbers give the same audio; another stream or seed gives another."""
    corpus = Corpus.read(clip_folder, ["en"])
    first = corpus.compose_speech(0, 20, seed=1)
    assert np.array_equal(first.samples, corpus.compose_speech(0, 20, seed=1).samples)
    assert not np.array_equal(first.samples, corpus.compose_speech(1, 20, seed=1).samples)
    assert not np.array_equal(first.samples, corpus.compose_speech(0, 20, seed=2).samples)


def test_streams_speak_the_languages_in_turn(clip_folder: Path) -> None:
    """Four streams over three languages begin anew with the first."""
    corpus = Corpus.read(clip_folder)
    spoken = [corpus.compose_speech(stream, 5, seed=0).language for stream in range(4)]
    assert spoken == ["en", "de", "es", "en"]


def test_committed_clips_are_cut_to_their_sound(clip_folder: Path) -> None:
    """Each sentence is loud near its ends, so that pauses are as long as drawn."""
    speech = Corpus.read(clip_folder, ["de"]).compose_speech(0, 30, seed=4)
    last = speech.reference.words[-1].end
    before = speech.samples[round((last - 0.2) * SAMPLE_RATE) : round(last * SAMPLE_RATE)]
    after = speech.samples[round(last * SAMPLE_RATE) :]
    assert np.abs(before).max() > 0.02
    assert np.abs(after).max() < 0.01


def test_a_folder_without_clips_is_refused(tmp_path: Path, clip_folder: Path) -> None:
    """The message names the option, and no path of the machine."""
    with pytest.raises(BadRequest, match=r"^No manifest.json in --clips 'empty'\.$"):
        Corpus.read(tmp_path / "empty")
    with pytest.raises(BadRequest, match="no clip of one sentence in fr"):
        Corpus.read(clip_folder, ["fr"])
    (tmp_path / "manifest.json").write_text('{"no": "list"}')
    with pytest.raises(BadRequest, match="is not a list of clips"):
        Corpus.read(tmp_path)

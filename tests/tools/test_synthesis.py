"""Clips that are spoken, where espeak-ng is installed."""

import ctypes
import sys
from pathlib import Path

import numpy as np
import pytest
from demo_speech.__main__ import main
from demo_speech.espeak import Espeak, to_16_khz
from demo_speech.synthesis import make_clips

from whisperlive_hybrid.bench.corpus import (
    Clip,
    Corpus,
    read_manifest,
    read_samples,
    write_samples,
)
from whisperlive_hybrid.errors import BadRequest, Unsupported
from whisperlive_hybrid.types import SAMPLE_RATE


def _is_installed() -> bool:
    try:
        with Espeak.open():
            return True
    except Unsupported:
        return False


needs_espeak = pytest.mark.skipif(not _is_installed(), reason="espeak-ng is not installed")


@needs_espeak
def test_clips_can_be_benchmarked(tmp_path: Path) -> None:
    """What is spoken is what `live` reads: the languages asked for, with their words."""
    clips = make_clips(tmp_path, 2, ["de", "en"], seed=3)
    assert [clip.file for clip in clips] == ["de-0.flac", "de-1.flac", "en-0.flac", "en-1.flac"]
    assert read_manifest(tmp_path) == clips
    assert Corpus.read(tmp_path).languages == ("de", "en")


@needs_espeak
def test_word_ends_lie_in_their_sentence(tmp_path: Path) -> None:
    """Words end one after the other between the borders of the sentence, the last at its end."""
    for clip in make_clips(tmp_path, 4, ["es"], seed=5):
        ((start, end),) = clip.sentences
        ends = [word_end for _, word_end in clip.words]
        assert [word for word, _ in clip.words] == clip.text.split()
        assert start < ends[0]
        assert ends == sorted(set(ends))
        assert ends[-1] == pytest.approx(end, abs=0.002)
        samples = read_samples(tmp_path / clip.file)
        assert np.abs(samples[round(end * SAMPLE_RATE) :]).max() < 0.001


@needs_espeak
def test_a_seed_always_says_the_same(tmp_path: Path) -> None:
    """The same seed says the same at nearly the same times: espeak-ng varies by some ms."""
    first, again = (make_clips(tmp_path / name, 3, ["en"], seed=1) for name in ("a", "b"))
    other = make_clips(tmp_path / "c", 3, ["en"], seed=2)
    assert [clip.text for clip in first] == [clip.text for clip in again]
    assert [clip.text for clip in first] != [clip.text for clip in other]
    for one, same in zip(first, again, strict=True):
        ends = [end for _, end in same.words]
        assert [end for _, end in one.words] == pytest.approx(ends, abs=0.03)


def test_an_unknown_language_is_refused(tmp_path: Path) -> None:
    """The grammar has three languages; the message lists them."""
    with pytest.raises(BadRequest, match=r"'fr'; use some of: en, de, es\."):
        make_clips(tmp_path, 1, ["fr"], seed=0)


def test_without_espeak_one_line_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library is named, and how to install it."""

    def absent(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", absent)
    with pytest.raises(Unsupported, match=r"^espeak-ng is not installed; .*apt install espeak-ng"):
        make_clips(tmp_path, 1, ["en"], seed=0)


def test_a_tone_keeps_its_pitch_and_loudness() -> None:
    """440 Hz at 22,050 Hz is 440 Hz at 16,000 Hz."""
    resampled = to_16_khz(np.sin(2 * np.pi * 440 * np.arange(22_050) / 22_050).astype(np.float32))
    expected = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    assert np.abs(resampled - expected).max() < 1e-4


def test_flac_keeps_samples_to_16_bits(tmp_path: Path) -> None:
    """What is written is read again, to a step and a half of 16 bits."""
    samples = np.linspace(-1, 1, 5001, dtype=np.float32)
    write_samples(tmp_path / "clip.flac", samples)
    assert np.abs(read_samples(tmp_path / "clip.flac") - samples).max() < 1.5 / 32767


def test_a_clip_without_speech_says_nothing() -> None:
    """Silence and noise have a file, and no language."""
    assert Clip("noise.flac").language is None


@needs_espeak
def test_the_program_says_what_it_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line with the count."""
    options = ["--out", str(tmp_path), "--count", "1", "--languages", "en, es"]
    monkeypatch.setattr(sys, "argv", ["demo_speech", *options])
    main()
    assert capsys.readouterr().out.startswith("2 clips in ")

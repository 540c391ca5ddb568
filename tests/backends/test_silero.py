import numpy as np
import pytest
from faster_whisper.vad import get_vad_model
from hypothesis import given, settings
from hypothesis import strategies as st
from speech_clips import Clip

from whisperlive_hybrid.audio.level import VoiceLevel
from whisperlive_hybrid.backends.silero import LASTING_FRAMES, SILENT_PEAK, SileroVad
from whisperlive_hybrid.speech.regions import FRAME, RegionFinder, VadOptions
from whisperlive_hybrid.types import SAMPLE_RATE, Region, Samples


@pytest.fixture(scope="module")
def detector() -> SileroVad:
    """The network, loaded once."""
    return SileroVad()


def probabilities(detector: SileroVad, pieces: list[Samples]) -> list[float]:
    """Return the probabilities of a new stream for audio in these pieces."""
    stream = detector.open()
    return [p for piece in pieces for p in stream.push(piece)] + stream.flush()


def regions(detector: SileroVad, samples: Samples) -> list[Region]:
    """The speech of a recording."""
    finder = RegionFinder(VadOptions(), 20 * SAMPLE_RATE)
    return finder.push(probabilities(detector, [samples])) + finder.flush(len(samples))


@settings(max_examples=30)
@given(cuts=st.lists(st.integers(0, 60_000), max_size=12))
def test_any_split_gives_the_same_bits(
    detector: SileroVad, clips: list[Clip], cuts: list[int]
) -> None:
    """A live stream and a file of the same audio are judged alike, bit for bit."""
    samples = clips[8].samples[:60_000]
    whole = probabilities(detector, [samples])
    assert probabilities(detector, np.split(samples, sorted(cuts))) == whole
    assert len(whole) == -(-len(samples) // FRAME)


@pytest.mark.parametrize("gain_db", [-50, 30])
@settings(max_examples=10)
@given(cuts=st.lists(st.integers(0, 60_000), max_size=12))
def test_any_split_gives_the_same_bits_at_any_level(
    detector: SileroVad, clips: list[Clip], gain_db: int, cuts: list[int]
) -> None:
    """Also where the detector is fed with a level of its own."""
    samples = np.clip(clips[8].samples[:60_000] * np.float32(10 ** (gain_db / 20)), -1, 1)
    whole = probabilities(detector, [samples])
    assert probabilities(detector, np.split(samples, sorted(cuts))) == whole


@pytest.mark.parametrize("gain_db", [-60, -50, -40, -20, 30])
def test_speech_is_found_at_any_level(detector: SileroVad, clips: list[Clip], gain_db: int) -> None:
    """The middle of every word, quiet or clipped, lies in a region."""
    missed = []
    for clip in clips:
        samples = np.clip(clip.samples * np.float32(10 ** (gain_db / 20)), -1, 1)
        found = regions(detector, samples)
        middles = [round((end - 0.05) * SAMPLE_RATE) for _, end in clip.words]
        missed += [m for m in middles if not any(r.start <= m < r.end for r in found)]
    assert len(missed) <= sum(len(clip.words) for clip in clips) // 50


@pytest.mark.parametrize("level_db", [-80, -65, -50, -35, -20])
def test_room_noise_of_any_level_is_no_speech(detector: SileroVad, level_db: int) -> None:
    """Twenty seconds of noise as of a ventilator, raised as quiet speech would be."""
    rng = np.random.default_rng(2)
    n = 20 * SAMPLE_RATE
    spectrum = np.fft.rfft(rng.normal(0, 1, n))
    noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.fft.rfftfreq(n), 0.001)))
    noise *= 10 ** (level_db / 20) / noise.std()
    assert regions(detector, noise.astype(np.float32)) == []


def test_frame_by_frame_gives_the_same_bits(detector: SileroVad, clips: list[Clip]) -> None:
    """The smallest pieces that mean anything are no exception."""
    samples = clips[8].samples[: 60 * FRAME]
    pieces = np.split(samples, range(FRAME, len(samples), FRAME))
    assert probabilities(detector, pieces) == probabilities(detector, [samples])


def test_judges_as_faster_whisper_does(
    detector: SileroVad, clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same network, fed the same way: every clip is judged like theirs, whole frames all.

    But for the level, which raises the quiet beginning of a recording.
    """
    monkeypatch.setattr(VoiceLevel, "adjust", lambda _, frames, inputs: [False] * len(inputs))  # noqa: ARG005 (its signature)
    theirs = get_vad_model()
    for clip in clips:
        # Theirs wants whole frames, and silences the last 64 samples of what it is given.
        padded = np.pad(clip.samples, (0, 2 * FRAME - len(clip.samples) % FRAME))
        wanted = theirs(padded.copy()).reshape(-1).tolist()
        n_frames = len(clip.samples) // FRAME
        if not clip.samples.any():
            n_frames = min(n_frames, LASTING_FRAMES)  # then ours is not asked any more
        assert probabilities(detector, [clip.samples])[:n_frames] == wanted[:n_frames]


@settings(max_examples=30)
@given(cuts=st.lists(st.integers(0, 130_000), max_size=8))
def test_after_lasting_silence_a_stream_begins_anew(
    detector: SileroVad, clips: list[Clip], cuts: list[int]
) -> None:
    """A muted client costs nothing, and is understood as well as at the beginning."""
    clip = clips[8].samples[: 60 * FRAME]
    hiss = np.random.default_rng(1).normal(0, 1e-4, len(clip))  # a synthesiser begins in silence
    spoken = (clip + hiss).astype(np.float32)
    silence = np.zeros((LASTING_FRAMES + 20) * FRAME, np.float32)
    samples = np.concatenate([spoken, silence, spoken])
    judged = probabilities(detector, np.split(samples, sorted(cuts)))
    assert judged[-60:] == judged[:60] == probabilities(detector, [spoken])
    assert judged[60 + LASTING_FRAMES : -60] == [0.0] * 20
    assert min(judged[60 : 60 + LASTING_FRAMES]) > 0.0


@pytest.mark.parametrize(("peak", "asked"), [(0.99 * SILENT_PEAK, 0), (1.01 * SILENT_PEAK, 20)])
def test_noise_that_no_ear_hears_is_silence(detector: SileroVad, peak: float, asked: int) -> None:
    """Dither, and what Opus makes of zeros, cost no more than zeros; louder noise is judged."""
    n = (LASTING_FRAMES + 20) * FRAME
    noise = np.random.default_rng(1).choice([-peak, peak], n).astype(np.float32)
    judged = probabilities(detector, [noise])
    assert np.count_nonzero(judged) == LASTING_FRAMES + asked


def test_streams_do_not_know_each_other(detector: SileroVad, clips: list[Clip]) -> None:
    """Two streams side by side through one network answer as each alone."""
    a, b = clips[0].samples, clips[9].samples
    first, second = detector.open(), detector.open()
    mixed = [
        (first.push(x), second.push(y))
        for x, y in zip(np.split(a[:16000], 4), np.split(b[:16000], 4), strict=True)
    ]
    assert [p for x, _ in mixed for p in x] + first.flush() == probabilities(detector, [a[:16000]])
    assert [p for _, y in mixed for p in y] + second.flush() == probabilities(detector, [b[:16000]])


def test_finds_every_sentence(detector: SileroVad, clips: list[Clip]) -> None:
    """All that is spoken lies in a region."""
    for clip in clips:
        found = regions(detector, clip.samples)
        for _, end in clip.words:
            inside = round((end - 0.05) * SAMPLE_RATE)
            assert any(region.start <= inside < region.end for region in found), (clip.file, end)


@pytest.mark.parametrize("file", ["silence.flac", "noise.flac"])
def test_finds_nothing_in_silence_and_noise(
    detector: SileroVad, clips: list[Clip], file: str
) -> None:
    """Silence and noise have no region."""
    (clip,) = (clip for clip in clips if clip.file == file)
    assert regions(detector, clip.samples) == []


def test_an_empty_stream_has_no_frames(detector: SileroVad) -> None:
    """No samples give no probabilities."""
    assert probabilities(detector, []) == []

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from whisperlive_hybrid.backends.fake import EnergyVad, pause, speak
from whisperlive_hybrid.speech.regions import FRAME, LIVE_VAD, VadOptions
from whisperlive_hybrid.speech.windows import (
    WindowCutter,
    recording_time,
    to_recording_clock,
)
from whisperlive_hybrid.types import SAMPLE_RATE, Samples, Segment, Window, WindowSpan, Word

RECORDING = np.concatenate(
    [pause(1.0), speak([1, 2]), pause(0.9), speak(range(3, 18)), pause(2.0), speak([18])]
)
"""Three utterances; the second of 5.4 s."""


def cut(pieces: list[Samples], options: VadOptions | None = None) -> list[Window]:
    """Return all windows of a recording that is pushed in these pieces."""
    cutter, voice = WindowCutter(options or VadOptions(), longest_s=4.0), EnergyVad().open()
    windows: list[Window] = []
    for piece in pieces:
        windows += cutter.push(piece, voice.push(piece))
    windows += cutter.push(pause(0), voice.flush())
    return windows + cutter.flush()


def joined(*parts: tuple[int, int]) -> Window:
    """Return a window of spans (recording sample, length); each sample is its index."""
    spans, offset = [], 0
    for recording_sample, length in parts:
        spans.append(WindowSpan(offset, recording_sample, length))
        offset += length
    samples = np.concatenate([np.arange(a, a + n, dtype=np.float32) for a, n in parts])
    return Window(samples, tuple(spans))


@given(cuts=st.lists(st.integers(0, len(RECORDING)), max_size=30))
def test_any_split_of_samples_gives_the_same_windows(cuts: list[int]) -> None:
    """The windows are the same to the sample for all sizes of pieces."""
    whole = cut([RECORDING])
    split = cut(np.split(RECORDING, sorted(cuts)))
    assert [window.spans for window in split] == [window.spans for window in whole]
    for a, b in zip(split, whole, strict=True):
        assert np.array_equal(a.samples, b.samples)


def test_windows_hold_the_samples_of_their_spans() -> None:
    """A window is a piece of the recording of at most the given length."""
    windows = cut([RECORDING])
    assert len(windows) == 4
    for window in windows:
        (span,) = window.spans
        end = span.recording_sample + span.length
        assert np.array_equal(window.samples, RECORDING[span.recording_sample : end])
        assert window.duration <= 4.0
        assert (window.start, window.end) == (
            span.recording_sample / SAMPLE_RATE,
            end / SAMPLE_RATE,
        )


@given(length=st.integers(1, len(RECORDING)))
@example(length=1)
@example(length=FRAME - 1)
@example(length=len(RECORDING))
def test_without_detection_windows_are_the_recording(length: int) -> None:
    """Without detection, the joined windows are the recording."""
    windows = cut([RECORDING[:length]], VadOptions(enabled=False))
    assert np.array_equal(
        np.concatenate([window.samples for window in windows]), RECORDING[:length]
    )
    assert all(0 < len(window.samples) <= 4 * SAMPLE_RATE for window in windows)


def test_hours_of_silence_take_no_memory() -> None:
    """Of an hour of silence, at most two seconds are in memory."""
    cutter, silence = WindowCutter(VadOptions(), longest_s=20.0), pause(1.024)
    for _ in range(3516):
        cutter.push(silence, [0.0] * (len(silence) // FRAME))
        assert cutter._buffer.end - cutter._buffer.start < 2 * SAMPLE_RATE
        assert len(cutter._buffer._samples) < 8 * SAMPLE_RATE
    assert cutter.n_samples > 3600 * SAMPLE_RATE


def test_shows_the_utterance_that_is_being_spoken() -> None:
    """The open window has the utterance with its pre-roll; there is none in silence."""
    cutter, speech = WindowCutter(LIVE_VAD, longest_s=20.0), pause(1.024)
    cutter.push(speech, [0.0] * 32)
    assert cutter.open_window() is None
    cutter.push(speech, [1.0] * 32)
    window = cutter.open_window()
    assert window is not None
    assert (window.start, window.end) == (1.024 - 0.4, 2.048)
    assert cutter.silence == 0
    cutter.push(pause(0.256), [0.0] * 8)
    assert cutter.silence == 0.256 * SAMPLE_RATE


def test_a_window_knows_where_there_is_speech_in_it() -> None:
    """Stretches of speech are on the window clock, without pauses and rolls."""
    cutter = WindowCutter(VadOptions(), longest_s=20.0)
    probabilities = [0.0] * 32 + [1.0] * 32 + [0.0] * 16 + [1.0] * 16 + [0.0] * 64
    [window] = cutter.push(pause(160 * 512 / SAMPLE_RATE), probabilities)
    assert window.start == 384 / SAMPLE_RATE  # a second before
    assert window.speech is not None
    assert [(round(s, 3), round(e, 3)) for s, e in window.speech] == [(1.0, 2.024), (2.536, 3.048)]


def test_the_rest_of_a_window_is_a_window() -> None:
    """It has the same audio at the same recording times, and the remaining speech."""
    samples = np.arange(32_000, dtype=np.float32)
    spans = (WindowSpan(0, 1_000, 16_000), WindowSpan(16_000, 40_000, 16_000))
    window = Window(samples, spans, ((0.25, 0.75), (1.25, 1.75)))
    rest = window.rest_from(0.5)
    assert rest.samples.tolist() == samples[8_000:].tolist()
    assert rest.spans == (WindowSpan(0, 9_000, 8_000), WindowSpan(8_000, 40_000, 16_000))
    assert rest.speech == ((0.0, 0.25), (0.75, 1.25))
    assert window.rest_from(1.5).spans == (WindowSpan(0, 48_000, 8_000),)
    middle = window.part(0.5, 1.5)
    assert middle.samples.tolist() == samples[8_000:24_000].tolist()
    assert middle.spans == (WindowSpan(0, 9_000, 8_000), WindowSpan(8_000, 40_000, 8_000))
    assert middle.speech == ((0.0, 0.25), (0.75, 1.0))
    assert window.speech_after(1.0) == ((1.25, 1.75),)


def test_a_part_of_a_window_is_a_window() -> None:
    """It has the speech in it, cut at its borders."""
    samples = np.arange(32_000, dtype=np.float32)
    window = Window(samples, (WindowSpan(0, 1_000, 32_000),), ((0.25, 0.75), (1.25, 1.75)))
    part = window.part(0.5, 1.5)
    assert part.samples.tolist() == samples[8_000:24_000].tolist()
    assert part.spans == (WindowSpan(0, 9_000, 16_000),)
    assert part.speech == ((0.0, 0.25), (0.75, 1.0))
    assert window.speech_in(0.5, 1.0) == ((0.5, 0.75),)


@given(
    lengths=st.lists(st.integers(1, 480_000), min_size=1, max_size=4),
    where=st.floats(0, 1, exclude_max=True),
)
def test_every_sample_finds_its_place_in_the_recording(lengths: list[int], where: float) -> None:
    """Times of samples are converted exactly; a start at a border is in the later span."""
    starts = np.cumsum([5, *(length + 1000 for length in lengths)]).tolist()
    window = joined(*zip(starts, lengths, strict=False))
    seams = [span.window_sample for span in window.spans]
    for sample in [*seams, int(where * len(window.samples))]:
        time = sample / SAMPLE_RATE
        assert recording_time(window, time) * SAMPLE_RATE == pytest.approx(
            window.samples[sample], abs=0.01
        )


def test_an_end_at_a_seam_belongs_to_what_came_before() -> None:
    """The end of a word stays before a pause that was cut out."""
    window = joined((1001, 1001), (9000, 700))
    seam = 1001 / SAMPLE_RATE
    assert recording_time(window, seam, is_end=True) == 2002 / SAMPLE_RATE
    assert recording_time(window, seam) == 9000 / SAMPLE_RATE


@pytest.mark.parametrize("is_end", [False, True])
def test_times_outside_of_a_window_are_pulled_to_its_borders(is_end: bool) -> None:
    """A model may write a time outside of the window."""
    window = joined((1600, 1600), (16000, 1600))
    assert recording_time(window, -1.0, is_end=is_end) == 0.1
    assert recording_time(window, 9.0, is_end=is_end) == 1.1


def test_segments_move_with_their_words() -> None:
    """Segments and words of both utterances have their recording times."""
    window = joined((16000, 16000), (80000, 16000))
    words = (Word(" a", 0.2, 1.0, 0.9), Word(" b", 1.0, 1.4, 0.8))
    segment = Segment(0.2, 1.4, " a b", (1, 2), 0.0, -0.1, 1.0, 0.0, words)
    (moved,) = to_recording_clock(window, [segment])
    assert (moved.start, moved.end) == (1.2, 5.4)
    assert moved.words == (Word(" a", 1.2, 2.0, 0.9), Word(" b", 5.0, 5.4, 0.8))


def test_a_word_without_length_at_a_seam_never_ends_before_it_starts() -> None:
    """A word of length 0 stays at its start."""
    window = joined((16000, 16000), (80000, 16000))
    words = (Word(" a", 1.0, 1.0, 0.9),)
    segment = Segment(1.0, 1.0, " a", (1,), 0.0, -0.1, 1.0, 0.0, words)
    (moved,) = to_recording_clock(window, [segment])
    assert moved.words == (Word(" a", 5.0, 5.0, 0.9),)
    assert (moved.start, moved.end) == (5.0, 5.0)


def test_segments_without_words_stay_without() -> None:
    """Words are None if they were not requested."""
    segment = Segment(0.0, 0.5, " a", (1,), 0.0, -0.1, 1.0, 0.0)
    (moved,) = to_recording_clock(joined((0, 16000)), [segment])
    assert moved.words is None


def test_the_clocks_of_neighbouring_windows_agree() -> None:
    """Windows are in the order of the recording and never overlap."""
    windows = cut([RECORDING])
    assert all(a.end <= b.start for a, b in pairwise(windows))

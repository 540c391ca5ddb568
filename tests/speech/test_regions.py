from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperlive_hybrid.speech.regions import FRAME, LIVE_VAD, RegionFinder, VadOptions
from whisperlive_hybrid.types import SAMPLE_RATE, Region

FRAME_S = FRAME / SAMPLE_RATE

LITERAL = VadOptions(min_silence_s=4 * FRAME_S, pre_roll_s=2 * FRAME_S, post_roll_s=FRAME_S)
"""Rolls and silences in whole frames, for short test recordings."""

LONGEST = 20  # frames

HI, MID, LO = 0.9, 0.4, 0.1
"""Speech; between the two thresholds of 0.5 and 0.35; silence."""

PROBABILITIES = st.lists(st.sampled_from([0.0, LO, 0.34, MID, 0.5, HI, 1.0]), max_size=150)


def found(
    probabilities: list[float], options: VadOptions = LITERAL, missing_samples: int = 0
) -> list[tuple[float, float]]:
    """The regions of a recording of so many frames, in frames.

    Only the caller knows that the last frame was incomplete: it clips what ended inside of it.
    """
    finder = RegionFinder(options, LONGEST * FRAME)
    end = len(probabilities) * FRAME - missing_samples
    regions = finder.push(probabilities) + finder.flush(end)
    return [(region.start / FRAME, min(region.end, end) / FRAME) for region in regions]


def test_silence_has_no_region() -> None:
    """A recording without speech has no regions."""
    assert found([LO] * 100) == []
    assert found([]) == []


def test_speech_is_kept_with_its_rolls() -> None:
    """A region has two frames before the speech and one after it."""
    assert found([LO] * 5 + [HI] * 3 + [LO] * 9) == [(3, 9)]


def test_pre_roll_ends_at_the_beginning_of_the_recording() -> None:
    """There is no audio before the first sample."""
    assert found([LO, HI, HI] + [LO] * 9) == [(0, 4)]


def test_one_frame_alone_is_a_click() -> None:
    """Speech begins with two frames in a row."""
    assert found([LO] * 5 + [HI] + [LO] * 5 + [HI] + [LO] * 5) == []


def test_speech_that_has_begun_goes_on_above_the_lower_threshold() -> None:
    """Frames between the thresholds hold a region open but never open one."""
    assert found([MID] * 9) == []
    assert found([LO] * 3 + [HI, HI] + [MID] * 6 + [LO] * 9) == [(1, 12)]


def test_a_short_pause_does_not_end_an_utterance() -> None:
    """Three silent frames continue a region, four end it."""
    assert found([HI] * 3 + [LO] * 3 + [HI] * 3 + [LO] * 9) == [(0, 10)]
    assert found([HI] * 3 + [LO] * 4 + [HI] * 3 + [LO] * 9) == [(0, 4), (5, 11)]


def test_silence_counts_on_through_frames_between_the_thresholds() -> None:
    """Only speech resets the silence of an utterance (Silero's rule)."""
    assert found([HI] * 3 + [LO, MID, MID, MID] + [LO] * 5) == [(0, 4)]


def test_pre_roll_never_reaches_into_the_region_before() -> None:
    """Regions do not overlap: the earliest start is the end of the region before."""
    options = VadOptions(min_silence_s=2 * FRAME_S, pre_roll_s=9 * FRAME_S, post_roll_s=FRAME_S)
    assert found([HI] * 3 + [LO] * 2 + [HI] * 3 + [LO] * 5, options) == [(0, 4), (4, 9)]


def test_a_word_that_begins_in_the_very_last_frame_is_kept() -> None:
    """At the end of a recording one frame of speech is enough."""
    assert found([LO] * 5 + [HI]) == [(3, 6)]
    assert found([LO] * 5 + [HI], missing_samples=FRAME // 2) == [(3, 5.5)]


def test_the_end_of_the_recording_ends_a_region() -> None:
    """A region that is open is closed with its post-roll, within the recording."""
    assert found([HI] * 3) == [(0, 3)]
    assert found([HI] * 3 + [LO] * 3) == [(0, 4)]


@pytest.mark.parametrize("quietest", range(13, 19))
def test_long_speech_is_cut_at_its_quietest_frame(quietest: int) -> None:
    """In the last two fifths of a region the cut is at the quietest frame."""
    dips = [HI] * quietest + [0.6] + [HI] * 30
    assert found(dips)[0] == (0, quietest)


def test_long_speech_is_cut_in_a_pause_that_has_begun() -> None:
    """At the limit a region ends in a pause of any length."""
    assert found([HI] * 17 + [LO] * 3 + [HI] * 5 + [LO] * 9) == [(0, 18), (18, 26)]


@pytest.mark.parametrize(
    ("endpoint_s", "silent_frames", "seems_over"),
    [(1.0, 15, False), (1.0, 16, True), (0.4, 6, False), (0.4, 7, True)],
)
def test_a_region_seems_to_have_ended_half_a_second_before_it_does(
    endpoint_s: float, silent_frames: int, *, seems_over: bool
) -> None:
    """Shorter pauses are mostly followed by more speech; a short endpoint needs its post-roll."""
    options = replace(LIVE_VAD, min_silence_s=endpoint_s)
    finder = RegionFinder(options, 20 * SAMPLE_RATE)
    finder.push([HI] * 20 + [LO] * silent_frames)
    assert (finder.speculative is not None) == seems_over


def test_a_region_ends_in_the_pause_at_a_sentence() -> None:
    """The rest of the region is the beginning of the next one."""
    finder = RegionFinder(LITERAL, LONGEST * FRAME)
    finder.push([HI] * 6 + [LO] * 3 + [HI] * 6)
    [region] = finder.end_at(7 * FRAME + 100)
    assert (region.start, region.end, region.speech) == (0, 7 * FRAME, ((0, 6 * FRAME),))
    assert finder.open_start == 7 * FRAME
    assert finder.open_speech == ((9 * FRAME, 15 * FRAME),)


def test_where_nothing_is_open_nothing_ends() -> None:
    """A region does not end before it has begun."""
    finder = RegionFinder(LITERAL, LONGEST * FRAME)
    assert finder.end_at(0) == []
    finder.push([LO] * 5 + [HI] * 10)
    assert finder.end_at(2 * FRAME) == []


@given(probabilities=PROBABILITIES, missing=st.integers(0, FRAME - 1))
def test_without_detection_regions_tile_the_recording(
    probabilities: list[float], missing: int
) -> None:
    """Without detection, every sample is in exactly one region."""
    options = VadOptions(
        enabled=False, min_silence_s=4 * FRAME_S, pre_roll_s=2 * FRAME_S, post_roll_s=FRAME_S
    )
    borders = found(probabilities, options, missing if probabilities else 0)
    assert all(a_end == b_start for (_, a_end), (b_start, _) in pairwise(borders))
    if probabilities:
        assert borders[0][0] == 0
        assert borders[-1][1] == len(probabilities) - missing / FRAME


@given(probabilities=PROBABILITIES, enabled=st.booleans())
def test_regions_are_in_order_and_within_bounds(probabilities: list[float], enabled: bool) -> None:
    """Regions never overlap, and are neither empty nor too long."""
    options = VadOptions(
        enabled=enabled, min_silence_s=4 * FRAME_S, pre_roll_s=2 * FRAME_S, post_roll_s=FRAME_S
    )
    regions = found(probabilities, options)
    assert all(a_end <= b_start for (_, a_end), (b_start, _) in pairwise(regions))
    assert all(0 < end - start <= LONGEST for start, end in regions)


@given(probabilities=PROBABILITIES)
def test_all_speech_is_in_a_region(probabilities: list[float]) -> None:
    """Every frame of speech but clicks is in a region, with any number of cuts."""
    regions = found(probabilities)
    for i, probability in enumerate(probabilities):
        neighbours = probabilities[max(0, i - 1) : i + 2]
        is_click = sum(each >= 0.5 for each in neighbours) < 2
        if probability >= 0.5 and not is_click:
            assert any(start <= i and i + 1 <= end for start, end in regions), i


@given(probabilities=PROBABILITIES, cuts=st.lists(st.integers(0, 150), max_size=10))
def test_any_grouping_of_pushes_gives_the_same_regions(
    probabilities: list[float], cuts: list[int]
) -> None:
    """A file in one piece and a live stream in many have the same regions."""
    finder = RegionFinder(LITERAL, LONGEST * FRAME)
    borders = [0, *sorted(cuts), len(probabilities)]
    regions: list[Region] = []
    for a, b in pairwise(borders):
        regions += finder.push(probabilities[a:b])
    regions += finder.flush(len(probabilities) * FRAME)
    assert [(r.start / FRAME, r.end / FRAME) for r in regions] == found(probabilities)


@given(probabilities=PROBABILITIES, enabled=st.booleans())
def test_needed_from_never_exceeds_a_later_start(probabilities: list[float], enabled: bool) -> None:
    """No later region begins before `needed_from`."""
    finder = RegionFinder(VadOptions(enabled=enabled), LONGEST * FRAME)
    needed = 0
    for probability in probabilities:
        regions = finder.push([probability])
        assert all(region.start >= needed for region in regions)
        assert finder.needed_from >= needed
        needed = finder.needed_from
    assert all(region.start >= needed for region in finder.flush(len(probabilities) * FRAME))


def test_tells_what_is_open() -> None:
    """A live stream needs the start of the open utterance and the silence at its end."""
    finder = RegionFinder(LITERAL, LONGEST * FRAME)
    finder.push([LO] * 5)
    assert (finder.open_start, finder.silence) == (None, 0)
    finder.push([HI, HI])
    assert (finder.open_start, finder.silence) == (3 * FRAME, 0)
    finder.push([LO, LO])
    assert (finder.open_start, finder.silence) == (3 * FRAME, 2 * FRAME)
    finder.push([LO, LO])
    assert (finder.open_start, finder.silence) == (None, 0)


def test_without_detection_silence_is_no_utterance() -> None:
    """Without detection, too, no utterance is open before the first speech."""
    finder = RegionFinder(VadOptions(enabled=False), LONGEST * FRAME)
    finder.push([LO] * 5)
    assert finder.open_start is None


@pytest.mark.parametrize(("threshold", "lower"), [(0.5, 0.35), (0.1, 0.01), (0.9, 0.75)])
def test_the_lower_threshold_follows_the_upper(threshold: float, lower: float) -> None:
    """0.15 below the threshold, but never so low that no frame could be below it."""
    assert VadOptions(threshold=threshold).neg_threshold == pytest.approx(lower)

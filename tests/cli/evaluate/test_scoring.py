import pytest

from whisperlive_hybrid.bench.recordings import TimedText
from whisperlive_hybrid.cli.evaluate.scoring import (
    LostRun,
    Score,
    find_unshared_losses,
    measure_cue_ends,
    normalise_words,
    pool_rate,
    score,
)


def lost(*runs: tuple[int, int]) -> Score:
    """A score with runs of lost words."""
    return Score(100, lost=tuple(LostRun(start, stop, "") for start, stop in runs))


@pytest.mark.parametrize(
    ("language", "text", "words"),
    [
        ("en", "Mr. Smith's colour won't cost twenty-five dollars!", None),
        ("de", "Die Größe - 25 %!", ["die", "größe", "25"]),
        ("fr", "L\u2019ﬁn d\u2019été", ["l", "fin", "d", "été"]),
        ("ja", "真っ昼間。", ["真", "っ", "昼", "間"]),
    ],
)
def test_words_are_normalised_by_language(
    language: str, text: str, words: list[str] | None
) -> None:
    """English as Whisper's evaluation has it, others without case and punctuation."""
    expected = words or ["mister", "smith", "is", "color", "will", "not", "cost", "$25"]
    assert normalise_words(text, language) == expected


def test_errors_are_counted_by_kind() -> None:
    """One word changed, one left out, one put in."""
    found = score("the cat sat on the mat today", "a cat sat on mat today again", "en")
    assert (found.words, found.errors) == (7, 3)
    assert (found.substitutions, found.deletions, found.insertions) == (1, 1, 1)
    assert found.lost == ()


def test_four_words_in_a_row_are_a_lost_run() -> None:
    """Three are not; the run is named."""
    said = "one fine day we all went down to the river together"
    assert score(said, "one fine day we down to the river together", "de").lost == ()
    four = score(said, "one fine day to the river together", "de")
    assert four.lost == (LostRun(3, 7, "we all went down"),)
    assert four.deletions == 4
    nothing = score(said, "", "de")
    assert [(run.start, run.stop) for run in nothing.lost] == [(0, 11)]


def test_words_where_nothing_is_said_are_insertions() -> None:
    """They are invented."""
    assert score("", "Thank you.", None) == Score(0, insertions=2)
    assert score("", "", None).errors == 0


def test_a_run_is_lost_by_one_alone_if_the_other_lost_none_of_it() -> None:
    """A word in common is enough to be lost by both."""
    only = find_unshared_losses(lost((0, 5), (10, 15), (20, 25)), lost((4, 8), (15, 20)))
    assert [(run.start, run.stop) for run in only] == [(10, 15), (20, 25)]


def test_a_rate_is_pooled_over_words_with_its_interval() -> None:
    """Long recordings count for more; the interval holds the rate and is the same every time."""
    pooled = pool_rate([10, 0, 5], [100, 10, 90])
    assert pooled is not None
    assert pooled.value == 0.075
    assert 0 <= pooled.low < pooled.value < pooled.high <= 0.1
    assert pool_rate([10, 0, 5], [100, 10, 90]) == pooled
    assert pool_rate([], []) is None
    assert pool_rate([3], [0]) is None


def test_the_interval_narrows_with_recordings_and_vanishes_without_spread() -> None:
    """A hundred recordings have a narrower interval than ten, equal ones an empty one."""
    few, many = pool_rate([1, 0] * 5, [10] * 10), pool_rate([1, 0] * 50, [10] * 100)
    assert few is not None
    assert many is not None
    assert many.high - many.low < (few.high - few.low) / 2
    equal = pool_rate([1] * 10, [10] * 10)
    assert equal is not None
    assert (equal.low, equal.high) == (0.1, 0.1)


def test_a_paired_difference_may_be_negative() -> None:
    """A reader that is better everywhere by the same has no doubt about it."""
    better = pool_rate([-1] * 8, [20] * 8)
    assert better is not None
    assert (better.low, better.value, better.high) == (-0.05, -0.05, -0.05)


def test_cue_ends_are_measured_at_the_words_whose_ends_are_known() -> None:
    """A cue counts if its last word is the last of a turn; others, and misread ones, do not."""
    turns = [
        TimedText(0, 2.0, "Good morning, Jane."),
        TimedText(3, 5.0, "How are you?"),
        TimedText(6, 7, "Fine."),
    ]
    cues = [
        TimedText(0, 2.3, " Good morning Jane."),
        TimedText(3, 3.9, " How are"),
        TimedText(3.9, 4.5, " you?"),
        TimedText(6, 9, " Five."),
    ]
    assert measure_cue_ends(turns, cues) == pytest.approx([0.3, -0.5])
    assert measure_cue_ends(turns, [TimedText(0, 1, " ...")]) == []
    assert measure_cue_ends([], cues) == []

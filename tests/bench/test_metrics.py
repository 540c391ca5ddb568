"""Figures pooled over streams."""

from dataclasses import replace

import pytest

from whisperlive_hybrid.bench.scoring import (
    Spread,
    StreamScore,
    WordDelay,
    pool_quality,
    summarise_delays,
)


def _score(commits: dict[float, float], *, edits: int = 0, words: int = 0) -> StreamScore:
    """A stream: for each word its end and its commit delay; the last one ends speech."""
    last = max(commits, default=0.0)
    delays = tuple(WordDelay(end, 0.5, 1.0, commit, end == last) for end, commit in commits.items())
    return StreamScore(delays, words or len(delays), edits, 0)


def test_a_spread_of_hundred_and_one_values() -> None:
    """Percentiles of 0, 1, … 100 are themselves."""
    assert summarise_delays([float(value) for value in range(101)]) == Spread(
        101, 50, 50, 90, 95, 99
    )


def test_nothing_has_no_spread() -> None:
    """Without values there is no percentile, and none is invented."""
    assert summarise_delays([]) is None


def test_errors_are_pooled_by_words() -> None:
    """A long stream weighs more than a short one."""
    figures = pool_quality(
        [_score({1.0: 1.0}, edits=9, words=10), _score({}, words=90)], revisions=2
    )
    assert figures.wer == 0.09
    assert figures.match_rate == 0.01
    assert figures.revisions == 2


def test_time_to_final_is_of_words_that_end_speech() -> None:
    """Only the last word before a silence counts."""
    figures = pool_quality([_score({1.0: 9.0, 2.0: 0.5})], revisions=0)
    assert figures.commit
    assert figures.final
    assert figures.commit.count == 2
    assert (figures.final.count, figures.final.p50) == (1, 0.5)


def test_a_delay_that_grows_has_a_slope() -> None:
    """Two hundredths of a second later each second is a slope of 0.02."""
    growing = _score({float(end): 1.0 + 0.02 * end for end in range(60)})
    assert pool_quality([growing], revisions=0).slope == pytest.approx(0.02)


def test_one_word_has_no_slope() -> None:
    """A line wants two points."""
    assert pool_quality([_score({1.0: 1.0})], revisions=0).slope is None


def test_silence_has_no_error_rate() -> None:
    """Where nothing was said there is nothing to divide by."""
    assert pool_quality([_score({})], revisions=0).wer is None


def test_promises_are_pooled_over_servers_that_make_any() -> None:
    """A stream without promises adds nothing; without any promise there is no figure."""
    word = WordDelay(1.0, 0.5, 1.0, 2.0, ends_speech=True)
    silent = StreamScore((word,), 1, 0, 0)
    telling = StreamScore((replace(word, promise=1.5),), 1, 0, 0)
    assert pool_quality([silent], revisions=0).promise is None
    promise = pool_quality([silent, telling], revisions=0).promise
    assert promise
    assert (promise.count, promise.p50) == (1, 1.5)

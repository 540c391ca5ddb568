"""When a load is held, and the search for the largest."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperlive_hybrid.bench.load import (
    LoadResult,
    choose_next_load,
    find_capacity,
    find_shortfalls,
    measure_wer_loss,
)
from whisperlive_hybrid.bench.scoring import Quality, Spread

GOOD = Spread(100, 1.0, 1.0, 1.2, 1.4, 1.5)
SLOW = Spread(100, 2.0, 2.0, 2.5, 3.5, 4.0)
QUALITY = Quality(0.02, 0.98, GOOD, GOOD, None, GOOD, GOOD, 0.0, 0, 0)
ALONE = LoadResult(1, QUALITY, (2,), (100,), 0, 0, (), 5, 0.0, None, None, 0, 0, None)
LOAD = LoadResult(2, QUALITY, (2, 2), (100, 100), 0, 0, (), 10, 0.0, None, None, 0, 0, None)


def _tried(true_capacity: int, limit: int) -> tuple[list[int], int]:
    """The loads tried against a server of that capacity, and what was found."""
    held: dict[int, bool] = {}
    while (streams := choose_next_load(held, limit)) is not None:
        held[streams] = streams <= true_capacity
    return list(held), find_capacity(held)


@pytest.mark.parametrize(
    ("true_capacity", "tried"),
    [(0, [1]), (1, [1, 2]), (5, [1, 2, 4, 8, 6, 5]), (99, [1, 2, 4, 8, 10])],
)
def test_the_search_doubles_and_then_halves_the_gap(true_capacity: int, tried: list[int]) -> None:
    """It never goes over the limit, and tries nothing twice."""
    assert _tried(true_capacity, limit=10) == (tried, min(true_capacity, 10))


@given(st.integers(0, 200), st.integers(1, 150))
def test_the_search_finds_every_capacity(true_capacity: int, limit: int) -> None:
    """What is found is the capacity, or the limit where that is less."""
    tried, found = _tried(true_capacity, limit)
    assert found == min(true_capacity, limit)
    assert len(tried) == len(set(tried))


def test_luck_above_a_failure_does_not_count() -> None:
    """A load that was held by chance above one that was not is no capacity."""
    assert find_capacity({1: True, 2: False, 4: True}) == 1


def test_a_good_load_is_held() -> None:
    """Nothing is missing where every bound is kept."""
    assert find_shortfalls(LOAD, [ALONE]) == ()


@pytest.mark.parametrize(
    ("load", "reason"),
    [
        (replace(LOAD, lost=2), "2 refused or lost"),
        (replace(LOAD, quality=replace(QUALITY, commit=SLOW)), "p95 commit 3.50 s"),
        (replace(LOAD, quality=replace(QUALITY, final=SLOW)), "p95 final 3.50 s"),
        (replace(LOAD, quality=replace(QUALITY, slope=0.02)), "slope 0.020 s/s"),
        (replace(LOAD, stream_edits=(3, 2)), "WER + 1.0 points"),
        (replace(LOAD, quality=replace(QUALITY, revisions=1)), "1 revisions"),
        (replace(LOAD, quality=replace(QUALITY, commit=None)), "no words"),
    ],
)
def test_each_exceeded_bound_is_named(load: LoadResult, reason: str) -> None:
    """The reason names the figure that was too large."""
    assert find_shortfalls(load, [ALONE]) == (reason,)


def test_a_stream_is_compared_with_itself() -> None:
    """Errors of a stream that ran in no smaller load are those of its sentences."""
    assert measure_wer_loss(replace(LOAD, stream_edits=(2, 50)), [ALONE]) == 0.0


def test_the_smallest_load_is_the_measure() -> None:
    """Errors that a middle load has cost already are still the cost of load."""
    large = replace(LOAD, streams=3, stream_edits=(5, 4, 0), stream_words=(100, 100, 100))
    middle = replace(LOAD, stream_edits=(4, 4))
    assert measure_wer_loss(large, [middle, ALONE]) == pytest.approx(3 / 200)


def test_without_a_smaller_load_nothing_is_lost() -> None:
    """One load alone is judged by its delays."""
    assert measure_wer_loss(LOAD, []) == 0.0

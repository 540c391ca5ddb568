import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperlive_hybrid.backends.whisper.search import (
    MAX_INITIAL_TIME_MARK,
    N_SAMPLES,
    BeamSearch,
    Logits,
    Rules,
    Sampling,
    Search,
    TokenPath,
    find_top_tokens,
    run_searches,
    softmax,
)

END, BLANK, BRACKET, TIME = 10, 0, 1, 12
SIZE = TIME + 100
"""Tokens 0 to 9 are text, 10 ends, 11 is some control token, the rest are time marks."""

RULES = Rules(end=END, time_begin=TIME, never=(BRACKET, 11), not_first=(BLANK, END))
DULL = -20.0


def logits(*likely: tuple[int, float]) -> Logits:
    """One row in which these tokens stand out."""
    row = np.full((1, SIZE), DULL, np.float32)
    for token, value in likely:
        row[0, token] = value
    return row


def allowed(written: tuple[int, ...], *likely: tuple[int, float]) -> set[int]:
    """Return the tokens that may follow `written`."""
    (row,) = RULES.apply(logits(*likely), [written])
    return set(np.flatnonzero(row > -np.inf).tolist())


class Script:
    """A decoder that opens a segment and then follows a script; it notes how many rows it ran.

    The script says what follows on what a row has written behind its opening mark; the first token
    of a key is the row's prompt, of which nothing is written.
    """

    def __init__(
        self, prompts: Sequence[int], script: dict[tuple[int, ...], dict[int, float]]
    ) -> None:
        self._rows: list[tuple[int, ...]] = [(prompt,) for prompt in prompts]
        self._script = script
        self.asked: list[int] = []

    def first(self) -> Logits:
        """Return the logits after the prompts."""
        return np.concatenate([logits((TIME, 0.0)) for _ in self._rows])

    def step(self, parents: Sequence[int], tokens: Sequence[int]) -> Logits:
        """Continue."""
        self._rows = [(*self._rows[p], t) for p, t in zip(parents, tokens, strict=True)]
        self.asked.append(len(tokens))
        return np.concatenate([self._next((row[0], *row[2:])) for row in self._rows])

    def _next(self, written: tuple[int, ...]) -> Logits:
        shares = self._script.get(written, {END: 1.0})
        return logits(*((token, math.log(share)) for token, share in shares.items()))


def answers(searches: list[Search], script: Script, longest: int = 50) -> list[TokenPath]:
    """Run to the end."""
    run_searches(searches, script, script.first(), RULES, longest)
    return [search.best() for search in searches]


GARDEN: dict[tuple[int, ...], dict[int, float]] = {
    (0,): {2: 0.6, 3: 0.4},
    (0, 2): {4: 0.5, 5: 0.5},
    (0, 3): {6: 0.99, 7: 0.01},
    (9,): {8: 1.0},
}
"""The likeliest first token leads astray: 0.6 · 0.5 < 0.4 · 0.99."""


def test_an_answer_begins_with_an_early_time_mark() -> None:
    """Neither text nor the end may come first, nor a mark after one second."""
    first = allowed(())
    assert first == set(range(TIME, TIME + MAX_INITIAL_TIME_MARK + 1))


def test_text_follows_the_mark_that_opens_a_segment() -> None:
    """One mark alone at the start, or two in a row, open a segment."""
    for written in ((TIME,), (TIME, 5, TIME + 7, TIME + 7)):
        assert max(allowed(written)) <= END


def test_a_closed_segment_is_followed_by_its_twin_or_the_end() -> None:
    """After text and a mark, another segment begins no earlier, or the answer ends."""
    after = allowed((TIME, 5, TIME + 7), (END, 5.0))
    assert after == {END, *range(TIME + 7, SIZE)}


def test_time_never_runs_backwards() -> None:
    """Marks after text are later than the one before it: a segment has a length."""
    assert min(t for t in allowed((TIME + 3, 5)) if t >= TIME) == TIME + 4


def test_symbols_are_never_written() -> None:
    """Suppressed tokens come nowhere, however likely."""
    for written in ((), (TIME,), (TIME, 5)):
        assert not {BRACKET, 11} & allowed(written, (BRACKET, 99.0), (11, 99.0))


def test_marks_that_are_likelier_together_than_any_text_win() -> None:
    """No single mark beats the text, but all of them do: one of them it must be."""
    marks = [(TIME + n, 0.0) for n in range(50, 60)]
    assert min(allowed((TIME, 5), (6, 1.0), *marks)) >= TIME
    assert 6 in allowed((TIME, 5), (6, 3.0), *marks)


@given(written=st.lists(st.integers(2, SIZE - 1).filter(lambda t: t not in {10, 11}), max_size=6))
def test_what_may_come_is_a_distribution(written: list[int]) -> None:
    """Probabilities are those among the allowed tokens: they sum to one."""
    row = RULES.apply(logits((3, 1.0), (TIME + 60, 2.0)), [tuple(written)])[0]
    assert np.exp(row.astype(np.float64)).sum() == pytest.approx(1, abs=1e-4)


def test_greedy_takes_the_likeliest_token_each_time() -> None:
    """A beam of one does not look ahead."""
    (path,) = answers([BeamSearch(1, END)], Script([0], GARDEN))
    assert path.tokens[:2] == (TIME, 2)


def test_a_beam_finds_what_is_likelier_in_all() -> None:
    """Two paths are enough to see that the second best start leads further."""
    (path,) = answers([BeamSearch(2, END)], Script([0], GARDEN))
    assert path.tokens == (TIME, 3, 6)
    assert path.score == pytest.approx(math.log(0.4 * 0.99), abs=1e-3)


def test_the_end_mark_counts_in_the_mean() -> None:
    """openai/whisper divides by one token more than are written, but ranks without it."""
    path = TokenPath((1, 2, 3), -6.0)
    assert (path.avg_logprob, path.rank) == (-1.5, -2.0)


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_searches_share_steps_and_nothing_else(temperature: float) -> None:
    """Alone or beside another that ends sooner or later, each finds the same."""

    def search() -> Search:
        return Sampling(temperature, END) if temperature else BeamSearch(3, END)

    alone = [answers([search()], Script([start], GARDEN))[0] for start in (0, 9)]
    assert answers([search(), search()], Script([0, 9], GARDEN)) == alone
    assert answers([search(), search()], Script([9, 0], GARDEN)) == alone[::-1]


def test_what_has_ended_is_not_computed_any_longer() -> None:
    """The rows of a finished search leave the batch."""
    endless = {(8, *[2] * n): {2: 1.0} for n in range(9)}
    script = Script([9, 8], endless)
    answers([BeamSearch(1, END), BeamSearch(1, END)], script, longest=5)
    assert script.asked == [2, 1, 1, 1]


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("longest", [1, 3])
def test_an_answer_is_no_longer_than_allowed(size: int, longest: int) -> None:
    """A model that never ends is stopped, and its answer is what it has written so far."""
    endless = {(0, *[2] * n): {2: 0.9, 3: 0.1} for n in range(9)}
    script = Script([0], endless)
    (path,) = answers([BeamSearch(size, END)], script, longest)
    assert path.tokens == (TIME, *[2] * (longest - 1))
    assert len(script.asked) == longest - 1  # nothing is computed for a token that will not be read


def test_samples_are_drawn_as_often_as_they_are_likely() -> None:
    """At temperature 1 by their probabilities, colder more often the likeliest."""
    row = np.log(np.array([[0.7, 0.2, 0.1]], np.float32))

    def shares(temperature: float) -> list[float]:
        sampling = Sampling(temperature, end=99)
        drawn = [sampling._draw(row[0]) for _ in range(4000)]
        return [drawn.count(token) / 4000 for token in range(3)]

    assert shares(1.0) == pytest.approx([0.7, 0.2, 0.1], abs=0.03)
    assert shares(0.5)[0] == pytest.approx(0.49 / 0.54, abs=0.03)


def test_the_best_of_the_samples_is_kept() -> None:
    """Five are drawn; the likeliest per token is the answer, scored without the temperature."""
    search = Sampling(1.0, END)
    script = Script([0], {(0,): dict.fromkeys(range(2, 10), 1 / 8)})
    (path,) = answers([search], script)
    assert script.asked[0] == N_SAMPLES
    assert path.score == pytest.approx(math.log(1 / 8), abs=1e-3)


def test_nothing_that_is_forbidden_is_drawn() -> None:
    """A token without probability never comes, at any temperature."""
    row = np.full(50, -np.inf, np.float32)
    row[7] = 0.0
    assert {Sampling(5.0, END)._draw(row) for _ in range(50)} == {7}


@given(seed=st.integers(0, 99), size=st.sampled_from([5, 300, 1400, 5000]), n=st.integers(1, 7))
def test_the_likeliest_are_found(seed: int, size: int, n: int) -> None:
    """In blocks or not, they are those that sorting finds; nothing forbidden is among them."""
    row = np.random.default_rng(seed).normal(size=size).astype(np.float32)
    assert sorted(find_top_tokens(row, n)) == sorted(np.argsort(row)[-n:].tolist())
    row[1:] = -np.inf
    assert find_top_tokens(row, n) == [0]


def test_probabilities_sum_to_one_for_large_logits() -> None:
    """No overflow."""
    assert softmax(np.array([[1e4, 1e4, -1e4]], np.float32)).tolist() == [[0.5, 0.5, 0.0]]

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperlive_hybrid.backends.base import Align
from whisperlive_hybrid.backends.fake import FakeEncoded
from whisperlive_hybrid.backends.whisper.alignment import (
    count_speech_positions,
    find_dtw_path,
    locate_tokens,
    median_filter,
    time_tokens,
)
from whisperlive_hybrid.types import Language, Task


def work(n_tokens: int, duration: float) -> Align:
    """Tokens to be found in audio of this length."""
    encoded = FakeEncoded((), 5.0)
    return Align(encoded, Language("en", 1.0), Task.TRANSCRIBE, (1,) * n_tokens, duration)


def plain_warping(cost: np.ndarray) -> float:
    """The textbook recursion, cell by cell: the cost of the cheapest way."""
    total = np.full((cost.shape[0] + 1, cost.shape[1] + 1), np.inf)
    total[0, 0] = 0
    for i in range(cost.shape[0]):
        for j in range(cost.shape[1]):
            total[i + 1, j + 1] = cost[i, j] + min(total[i, j], total[i, j + 1], total[i + 1, j])
    return float(total[-1, -1])


@given(shape=st.tuples(st.integers(1, 9), st.integers(1, 12)), seed=st.integers(0, 1000))
def test_the_way_is_the_cheapest(shape: tuple[int, int], seed: int) -> None:
    """From corner to corner in steps of one, at the cost that the plain recursion finds."""
    cost = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    rows, columns = find_dtw_path(cost)
    assert (rows[0], columns[0]) == (0, 0)
    assert (rows[-1], columns[-1]) == (shape[0] - 1, shape[1] - 1)
    assert set(np.diff(rows)) | set(np.diff(columns)) <= {0, 1}
    assert np.all(np.diff(rows) + np.diff(columns) >= 1)
    assert cost[rows, columns].sum() == pytest.approx(plain_warping(cost), abs=1e-4)


def test_tokens_begin_where_the_heads_look() -> None:
    """Attention that walks over the audio gives the places at which it steps on."""
    looks = [0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3]
    attention = np.full((2, 1 + 4 + 1, len(looks)), 0.01, np.float32)
    for position, row in enumerate(looks):
        attention[:, 1 + row, position] = 0.9
    assert locate_tokens(attention, n_before=1).tolist() == [0, 4, 10, 15]


def test_median_smooths_a_single_peak_away() -> None:
    """A lone neighbour does not count; steps stay where they are; a short row is left alone."""
    row = np.array([0, 0, 9, 0, 0, 0, 0, 0, 0, 5, 5, 5, 5, 5, 5], np.float32)
    assert median_filter(row).tolist() == [0.0] * 9 + [5.0] * 6
    assert median_filter(row[:3]).tolist() == row[:3].tolist()


def test_a_token_lasts_until_the_next_is_heard() -> None:
    """The last one until the end mark; nothing outlasts the audio."""
    times = time_tokens(np.array([0, 10, 60]), np.array([0.5, 0.6]), work(2, duration=1.0))
    assert [(t.start, t.end, t.probability) for t in times] == [(0.0, 0.2, 0.5), (0.2, 1.0, 0.6)]


def test_no_token_is_before_the_window() -> None:
    """CTranslate2 returns -1 for a single position on some processors."""
    times = time_tokens(np.array([-1, -1, 0]), np.array([0.5, 0.6]), work(2, duration=0.01))
    assert [(t.start, t.end) for t in times] == [(0.0, 0.0), (0.0, 0.0)]


@pytest.mark.parametrize(("duration", "positions"), [(0.0, 1), (0.01, 1), (1.0, 50), (9.0, 250)])
def test_attention_is_read_where_there_is_speech(duration: float, positions: int) -> None:
    """Not in the silence behind it, never beyond the context, and in one position at least."""
    assert count_speech_positions(work(1, duration)) == positions

"""Cross-attention to token times: dynamic time warping, as in openai/whisper's `timing.py`."""

from typing import Final

import numpy as np
import numpy.typing as npt

from whisperlive_hybrid.backends.base import Align
from whisperlive_hybrid.types import TIME_MARK_S, TokenTime

Matrix = npt.NDArray[np.float32]

MEDIAN_WIDTH: Final = 7
"""Encoder positions over which the attention is smoothed."""


def heard_positions(work: Align) -> int:
    """Encoder positions that hold the speech, and at least one."""
    return max(1, round(min(work.duration, work.encoded.context_s) / TIME_MARK_S))


def first_positions(attention: Matrix, n_before: int) -> npt.NDArray[np.intp]:
    """The position at which each token begins: (tokens + 1,), the last being the end mark's.

    `attention` is (heads, rows, positions) of probabilities: `n_before` rows for what stands before
    the mark that says "no time marks", then that mark's, each token's, and the end mark's. A row
    tells where the *next* token is heard.
    """
    deviation = attention.std(axis=1, keepdims=True)
    normal = (attention - attention.mean(axis=1, keepdims=True)) / np.maximum(deviation, 1e-10)
    matrix = median_filtered(normal).mean(axis=0)[n_before:-1]
    rows, positions = warped(-matrix)
    is_first = np.diff(rows, prepend=-1).astype(bool)
    first: npt.NDArray[np.intp] = positions[is_first]
    return first


def token_times(
    positions: npt.NDArray[np.integer], probabilities: npt.NDArray[np.floating], work: Align
) -> list[TokenTime]:
    """A token lasts until the next is heard, the last until the end mark or the window's end."""
    # CTranslate2's generic kernels give -1 where there is only one position.
    heard = np.clip(positions * TIME_MARK_S, 0, work.duration)
    ends = [*heard[1:], work.duration][: len(work.tokens)]
    return [
        TokenTime(float(start), float(end), float(probability))
        for start, end, probability in zip(heard, ends, probabilities, strict=False)
    ]


def median_filtered(x: Matrix) -> Matrix:
    """The median of `MEDIAN_WIDTH` neighbours along the last axis, mirrored at the borders."""
    pad = MEDIAN_WIDTH // 2
    if x.shape[-1] <= pad:
        return x
    padded = np.pad(x, [*[(0, 0)] * (x.ndim - 1), (pad, pad)], mode="reflect")
    neighbours = np.lib.stride_tricks.sliding_window_view(padded, MEDIAN_WIDTH, axis=-1)
    middle: Matrix = np.partition(neighbours, pad, axis=-1)[..., pad]
    return middle


def warped(cost: Matrix) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The cheapest way through `cost` from corner to corner: its row and column indices, ascending.

    Computed by anti-diagonals, whose cells do not depend on each other.
    """
    n_rows, n_columns = cost.shape
    total = np.full((n_rows + 1, n_columns + 1), np.inf, np.float32)
    total[0, 0] = 0
    for diagonal in range(n_rows + n_columns - 1):
        i = np.arange(max(0, diagonal - n_columns + 1), min(n_rows, diagonal + 1))
        j = diagonal - i
        cheapest = np.minimum(np.minimum(total[i, j], total[i, j + 1]), total[i + 1, j])
        total[i + 1, j + 1] = cost[i, j] + cheapest
    return _traced(total)


def _traced(total: Matrix) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Walk back from the corner; the infinite border around `total` keeps the way inside."""
    i, j = total.shape[0] - 1, total.shape[1] - 1
    steps: list[tuple[int, int]] = []
    while i > 0 and j > 0:
        steps.append((i - 1, j - 1))
        both, row, column = total[i - 1, j - 1], total[i - 1, j], total[i, j - 1]
        if both < row and both < column:
            i, j = i - 1, j - 1
        elif row < both and row < column:
            i -= 1
        else:
            j -= 1
    path = np.array(steps[::-1], np.intp)
    return path[:, 0], path[:, 1]

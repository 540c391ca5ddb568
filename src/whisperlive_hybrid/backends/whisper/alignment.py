"""Token times from cross-attention by dynamic time warping, as in openai/whisper's `timing.py`."""

from typing import Final

import numpy as np
import numpy.typing as npt

from whisperlive_hybrid.backends.base import Align
from whisperlive_hybrid.types import TIME_MARK_S, TokenTime

Matrix = npt.NDArray[np.float32]

MEDIAN_WIDTH: Final = 7
"""Encoder positions over which the attention is smoothed, as in openai/whisper."""


def count_speech_positions(work: Align) -> int:
    """Return the number of encoder positions that hold speech, at least one."""
    return max(1, round(min(work.duration, work.encoded.context_s) / TIME_MARK_S))


def locate_tokens(attention: Matrix, n_before: int) -> npt.NDArray[np.intp]:
    """Return the encoder position at which each token begins: (tokens + 1,), the end mark's last.

    `attention` is (heads, rows, positions) of probabilities. The rows are those of the `n_before`
    tokens before the mark "no time marks", of that mark, of the text tokens and of the end mark.
    A row shows the position of the *next* token.
    """
    # Each head is normalised over the rows, so that no token outweighs the others.
    deviation = attention.std(axis=1, keepdims=True)
    normal = (attention - attention.mean(axis=1, keepdims=True)) / np.maximum(deviation, 1e-10)
    matrix = median_filter(normal).mean(axis=0)[n_before:-1]
    return take_first_positions(*find_dtw_path(-matrix))


def take_first_positions(
    rows: npt.NDArray[np.intp], positions: npt.NDArray[np.intp]
) -> npt.NDArray[np.intp]:
    """Return the first of the positions of each row on a path of ascending rows."""
    is_first = np.diff(rows, prepend=-1).astype(bool)
    first: npt.NDArray[np.intp] = positions[is_first]
    return first


def time_tokens(
    positions: npt.NDArray[np.integer], probabilities: npt.NDArray[np.floating], work: Align
) -> list[TokenTime]:
    """Return the times of tokens that begin at these positions.

    A token ends where the next one begins, the last at the end mark or at the window's end.
    """
    # CTranslate2's generic kernels return -1 where there is only one position.
    starts = np.clip(positions * TIME_MARK_S, 0, work.duration)
    ends = [*starts[1:], work.duration][: len(work.tokens)]
    return [
        TokenTime(float(start), float(end), float(probability))
        for start, end, probability in zip(starts, ends, probabilities, strict=False)
    ]


def median_filter(x: Matrix) -> Matrix:
    """Return the median of `MEDIAN_WIDTH` neighbours on the last axis, mirrored at the borders."""
    pad = MEDIAN_WIDTH // 2
    if x.shape[-1] <= pad:
        return x
    padded = np.pad(x, [*[(0, 0)] * (x.ndim - 1), (pad, pad)], mode="reflect")
    neighbours = np.lib.stride_tricks.sliding_window_view(padded, MEDIAN_WIDTH, axis=-1)
    middle: Matrix = np.partition(neighbours, pad, axis=-1)[..., pad]
    return middle


def find_dtw_path(cost: Matrix) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the row and column indices, ascending, of the cheapest path from corner to corner."""
    # By anti-diagonals: their cells do not depend on each other, so numpy computes each at once.
    n_rows, n_columns = cost.shape
    total = np.full((n_rows + 1, n_columns + 1), np.inf, np.float32)
    total[0, 0] = 0
    for diagonal in range(n_rows + n_columns - 1):
        row = np.arange(max(0, diagonal - n_columns + 1), min(n_rows, diagonal + 1))
        column = diagonal - row
        cheapest = np.minimum(total[row, column], total[row, column + 1])
        cheapest = np.minimum(cheapest, total[row + 1, column])
        total[row + 1, column + 1] = cost[row, column] + cheapest
    # Back from the last corner; the infinite border of `total` keeps the path inside.
    i, j = n_rows, n_columns
    steps: list[tuple[int, int]] = []
    while i > 0 and j > 0:
        steps.append((i - 1, j - 1))
        diagonal_cost, up, left = total[i - 1, j - 1], total[i - 1, j], total[i, j - 1]
        if diagonal_cost < up and diagonal_cost < left:
            i, j = i - 1, j - 1
        elif up < diagonal_cost and up < left:
            i -= 1
        else:
            j -= 1
    path = np.array(steps[::-1], np.intp)
    return path[:, 0], path[:, 1]

"""Normalized words of a text, and the edit distance of two texts."""

import re
from collections.abc import Sequence
from typing import Final

import numpy as np

_UNSPACED: Final = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u0f00-\u109f"  # Tibetan, Burmese
    "\u1780-\u17ff"  # Khmer
    "\u3040-\u30ff"  # Japanese kana
    "\u3400-\u9fff\uf900-\ufaff"  # Chinese characters
)
_UNIT: Final = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")


def words_in(text: str) -> list[str]:
    """Return the words of `text` in lower case and without punctuation.

    In scripts without spaces between words, each character counts as a word.
    """
    return _UNIT.findall(text.lower())


def edit_distance(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Return the Levenshtein distance: the least number of changed, added and missing words.

    Only one row of the matrix is in memory, so that recordings of hours can be compared.
    """
    numbers = {word: n for n, word in enumerate({*reference, *hypothesis})}
    columns = np.array([numbers[word] for word in hypothesis], np.int64)
    steps = np.arange(len(hypothesis) + 1)
    row = steps
    for n, word in enumerate(reference):
        substituted = row[:-1] + (columns != numbers[word])
        best = np.minimum(row[1:] + 1, substituted)
        # Added words cost one each; the running minimum along the slope of the steps takes them all
        # into account without a loop over the row.
        row = np.minimum.accumulate(np.concatenate([[n + 1], best]) - steps) + steps
    return int(row[-1])

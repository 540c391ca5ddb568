"""Texts as lists of words that can be compared, and how far two of them are apart."""

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
    """The words of `text` without case and punctuation.

    In scripts that put no spaces between words a character stands for a word.
    """
    return _UNIT.findall(text.lower())


def edit_distance(wanted: Sequence[str], read: Sequence[str]) -> int:
    """How many words must be changed, put in or left out to make `read` of `wanted`.

    Levenshtein's distance, a row at a time, so that recordings of hours can be compared.
    """
    numbers = {word: n for n, word in enumerate({*wanted, *read})}
    columns = np.array([numbers[word] for word in read], np.int64)
    steps = np.arange(len(read) + 1)
    row = steps
    for n, word in enumerate(wanted):
        substituted = row[:-1] + (columns != numbers[word])
        best = np.minimum(row[1:] + 1, substituted)
        # Words that are put in cost one each: a running minimum along the slope.
        row = np.minimum.accumulate(np.concatenate([[n + 1], best]) - steps) + steps
    return int(row[-1])

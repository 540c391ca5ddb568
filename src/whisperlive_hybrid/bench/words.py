"""Words as the benchmark compares them, and their alignment by Levenshtein.

Case and punctuation count nowhere: the same normalisation is used for references and for what
servers write.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


def words_in(text: str) -> tuple[str, ...]:
    """The words of a text, folded to one case, with letters and digits alone.

    A hyphen parts two words; what stands inside one ("o'clock") is left out.
    """
    apart = unicodedata.normalize("NFKC", text).replace("-", " ").casefold().split()
    bare = ("".join(filter(str.isalnum, unicodedata.normalize("NFKC", word))) for word in apart)
    return tuple(filter(None, bare))


@dataclass(frozen=True, slots=True)
class Alignment:
    """How a hypothesis lies on its reference.

    `matches` are pairs (place in the reference, place in the hypothesis) of equal words, both
    rising; `inserted` are places in the hypothesis that answer to no word of the reference;
    `edits` counts substitutions, deletions and insertions, as few as possible.
    """

    matches: tuple[tuple[int, int], ...]
    inserted: tuple[int, ...]
    edits: int


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> Alignment:
    """Lay a hypothesis on a reference with the fewest edits (Levenshtein 1966).

    Of equally good alignments the one that pairs words earliest is taken, so that a text which
    breaks off lies at the beginning of its reference.
    """
    costs = _costs(reference, hypothesis)
    matches: list[tuple[int, int]] = []
    inserted: list[int] = []
    row = column = 0
    while row < len(reference) or column < len(hypothesis):
        cost = costs[row][column]
        if row < len(reference) and column < len(hypothesis):
            is_match = reference[row] == hypothesis[column]
            if cost == costs[row + 1][column + 1] + (not is_match):
                if is_match:
                    matches.append((row, column))
                row, column = row + 1, column + 1
                continue
        if row < len(reference) and cost == costs[row + 1][column] + 1:
            row += 1
        else:
            inserted.append(column)
            column += 1
    return Alignment(tuple(matches), tuple(inserted), costs[0][0])


def _costs(reference: Sequence[str], hypothesis: Sequence[str]) -> list[list[int]]:
    """Edits between what follows each place of the reference (row) and of the hypothesis."""
    width = len(hypothesis)
    costs = [list(range(width, -1, -1))]
    for expected in reversed(reference):
        below, current = costs[-1], [0] * (width + 1)
        current[width] = below[width] + 1
        for column in range(width - 1, -1, -1):
            substituted = below[column + 1] + (expected != hypothesis[column])
            current[column] = min(substituted, below[column] + 1, current[column + 1] + 1)
        costs.append(current)
    costs.reverse()
    return costs


def edits(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Substitutions, deletions and insertions, as few as possible: `align` without the alignment.

    Holds one row of the table, so that hours of text can be compared: 26,000 words against as many
    take some seconds.
    """
    numbers = {word: number for number, word in enumerate({*reference, *hypothesis})}
    heard = np.array([numbers[word] for word in hypothesis], np.int64)
    places = np.arange(len(heard) + 1)
    row = (
        places.copy()
    )  # edits from the first words of the reference to each start of the hypothesis
    for said, word in enumerate(reference, 1):
        deleted = row + 1
        substituted = row[:-1] + (heard != numbers[word])
        row = np.concatenate(([said], np.minimum(deleted[1:], substituted)))
        row = np.minimum.accumulate(row - places) + places  # insertions, from left to right
    return int(row[-1])

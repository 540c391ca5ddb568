"""Score texts against references: word errors, lost runs, bootstrap intervals, cue ends.

Word error rate as the field computes it: words are normalised first, English with the rules that
OpenAI published with Whisper (numbers, spellings, contractions), other languages by NFKC, lower
case, and letters and digits only; then jiwer aligns them with the fewest edits (Levenshtein).
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from jiwer import process_words
from whisper_normalizer.english import EnglishTextNormalizer

from whisperlive_hybrid.bench.recordings import TimedText
from whisperlive_hybrid.text.wer import words_in

LOST_WORDS: Final = 4
"""Reference words deleted in a row that count as a lost run: shorter ones are common."""

RESAMPLES: Final = 2000
"""Of the bootstrap; the bounds of a 95 % interval differ by less than 0.1 points between seeds."""

_PERCENTILES: Final = (2.5, 97.5)


@dataclass(frozen=True, slots=True)
class LostRun:
    """Reference words [start, stop) in a row without a counterpart in the text."""

    start: int
    stop: int
    text: str

    def overlaps(self, other: "LostRun") -> bool:
        """Return True if the two have a reference word in common."""
        return self.start < other.stop and other.start < self.stop


@dataclass(frozen=True, slots=True)
class Score:
    """A text against its reference, in normalised words."""

    words: int
    """In the reference; 0 for a recording without speech."""
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    lost: tuple[LostRun, ...] = ()

    @property
    def errors(self) -> int:
        """Edits that turn the reference into the text."""
        return self.substitutions + self.deletions + self.insertions


def normalise_words(text: str, language: str | None) -> list[str]:
    """Return the words of `text` as they are compared; English by Whisper's own rules.

    In scripts without spaces between words a character counts as a word.
    """
    if language == "en":
        text = _english_normaliser()(text)
        return text.split()
    return words_in(unicodedata.normalize("NFKC", text))


@cache  # it reads a file of 1,740 spellings
def _english_normaliser() -> EnglishTextNormalizer:
    return EnglishTextNormalizer()


def score(reference: str, text: str, language: str | None) -> Score:
    """Compare `text` with `reference`."""
    wanted, read = normalise_words(reference, language), normalise_words(text, language)
    if not wanted:
        return Score(0, insertions=len(read))
    aligned = process_words(" ".join(wanted), " ".join(read))
    deleted = [chunk for chunk in aligned.alignments[0] if chunk.type == "delete"]
    runs = [(chunk.ref_start_idx, chunk.ref_end_idx) for chunk in deleted]
    return Score(
        len(wanted),
        aligned.substitutions,
        aligned.deletions,
        aligned.insertions,
        tuple(
            LostRun(start, stop, " ".join(wanted[start:stop]))
            for start, stop in runs
            if stop - start >= LOST_WORDS
        ),
    )


def find_unshared_losses(ours: Score, theirs: Score) -> list[LostRun]:
    """Return the lost runs of `ours` that no lost run of `theirs` overlaps."""
    return [run for run in ours.lost if not any(map(run.overlaps, theirs.lost))]


@dataclass(frozen=True, slots=True)
class Rate:
    """Errors per word, with the bounds of its 95 % interval; shares, not percent."""

    value: float
    low: float
    high: float


def pool_rate(errors: Sequence[int], words: Sequence[int]) -> Rate | None:
    """Pool errors over recordings; None where there are no words.

    The interval is a percentile bootstrap over recordings (Bisani and Ney, 2004), since errors
    within a recording are correlated; the seed is fixed. `errors` may be differences between two
    readers of the same recordings: then the interval is that of their paired difference.
    """
    counts = np.array(words, np.int64)
    if not counts.sum():
        return None
    edits = np.array(errors, np.int64)
    generator = np.random.default_rng(0)
    draws = (generator.integers(len(counts), size=len(counts)) for _ in range(RESAMPLES))
    rates = [edits[drawn].sum() / counts[drawn].sum() for drawn in draws if counts[drawn].any()]
    low, high = (float(bound) for bound in np.percentile(rates, _PERCENTILES))
    return Rate(float(edits.sum() / counts.sum()), low, high)


def measure_cue_ends(turns: Sequence[TimedText], cues: Sequence[TimedText]) -> list[float]:
    """Return by how many seconds each cue ends after its last word; negative if before.

    The ends of the last words of `turns` are known; a turn may be a single word. Only cues count
    whose last word is aligned with such a word and equal to it.
    """
    expected, actual = _words_with_ends(turns), _words_with_ends(cues)
    if not expected or not actual:
        return []
    aligned = process_words(
        " ".join(word for word, _ in expected), " ".join(word for word, _ in actual)
    )
    errors = []
    for chunk in aligned.alignments[0]:
        if chunk.type != "equal":
            continue
        reference = expected[chunk.ref_start_idx : chunk.ref_end_idx]
        hypothesis = actual[chunk.hyp_start_idx : chunk.hyp_end_idx]
        for (_, known_end), (_, end) in zip(reference, hypothesis, strict=True):
            if known_end is not None and end is not None:
                errors.append(end - known_end)
    return errors


def _words_with_ends(cues: Iterable[TimedText]) -> list[tuple[str, float | None]]:
    """Return the words of `cues`, the last word of each with the cue's end."""
    words: list[tuple[str, float | None]] = []
    for cue in cues:
        *others, last = words_in(unicodedata.normalize("NFKC", cue.text)) or [""]
        words += [(word, None) for word in others]
        words += [(last, cue.end)] if last else []
    return words

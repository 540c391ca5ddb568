"""Recordings of people, and the word error rate of texts."""

from dataclasses import dataclass
from pathlib import Path

from whisperlive_hybrid.text.wer import edit_distance, words_in


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording of a person and its text."""

    file: Path
    language: str
    text: str
    seconds: float


def word_error_rate(pairs: list[tuple[str, str]]) -> float:
    """Return the word errors per word of pairs of reference and text, pooled."""
    errors = sum(edit_distance(words_in(wanted), words_in(read)) for wanted, read in pairs)
    return errors / sum(len(words_in(wanted)) for wanted, _ in pairs)

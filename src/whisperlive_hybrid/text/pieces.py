"""How much of an utterance that is still being spoken may be completed already.

A long utterance would be completed only when its speaker pauses. Two things happen before:

- Where a sentence has ended inside, and enough was heard behind it, the utterance ends there.
- Where none ends for long, and somebody wants text soon, the words that have proved stable are
  completed, and reading goes on behind them.

What was heard behind a word is part of the evidence for it, so the newest words wait, however
stable they are. The figures behind the defaults are in docs/decisions/0024.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from whisperlive_hybrid.text.punctuation import CLOSING, ends_sentence
from whisperlive_hybrid.types import Word

_ABBREVIATIONS: Final = {
    *("mr.", "mrs.", "ms.", "dr.", "prof.", "st.", "jr.", "sr.", "vs.", "vol.", "fig."),  # English
    *("hr.", "fr.", "nr."),  # German
    *("mme.", "mlle.", "sra.", "dra."),  # French, Spanish, Portuguese
}
"""That are followed by a name or a number more often than by a sentence; so are initials."""


@dataclass(frozen=True, slots=True)
class PieceOptions:
    """When words are completed while somebody speaks on."""

    guard_s: float = 1.0
    """Speech that must have been heard behind a word."""
    shortest_s: float = 5.0
    """Utterances that end with a sentence last so long; shorter ones go on with the next."""
    patience_s: float | None = 8.0
    """So old may a word become that waits for the end of its sentence; None for any age."""

    @property
    def soonest_s(self) -> float:
        """Speech that is not completed, in seconds, before which nothing can be."""
        if self.patience_s is None:
            return self.shortest_s
        return min(self.shortest_s, self.patience_s)


def ready_words(words: Sequence[Word], heard_s: float, options: PieceOptions) -> Sequence[Word]:
    """Those of the stable `words`, all that are not completed, behind which enough was heard.

    `heard_s` is how much was heard, on the clock of the words.
    """
    return [word for word in words if word.end <= heard_s - options.guard_s]


def sentence_end(ready: Sequence[Word], start: float, options: PieceOptions) -> float | None:
    """Where the last sentence ends that ends an utterance, which began at `start`."""
    ends = [word.end for word in ready if _ends_sentence(word)]
    return ends[-1] if ends and ends[-1] - start >= options.shortest_s else None


def are_old(ready: Sequence[Word], heard_s: float, options: PieceOptions) -> bool:
    """Whether the first of the words has waited too long."""
    return (
        options.patience_s is not None
        and bool(ready)
        and heard_s - ready[0].end >= options.patience_s
    )


def _ends_sentence(word: Word) -> bool:
    bare = word.text.strip().strip(CLOSING)
    is_abbreviation = (
        bare.casefold() in _ABBREVIATIONS or "." in bare[:-1] or len(bare) == len("J.")
    )
    return ends_sentence(bare) and not (bare.endswith(".") and is_abbreviation)

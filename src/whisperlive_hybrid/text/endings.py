"""Early ends of long utterances, and where their updates begin.

Without an early end, a long utterance is completed only when its speaker pauses for a second. It
ends earlier, in a pause that is too short to be an endpoint, in two cases:

- after the end of a sentence that is followed by enough speech;
- in its longest pause, if words have waited longer than `live_patience_s` allows.

The audio after a word is part of the evidence for it, so only stable words that are followed by
some audio are considered. The measurements of the defaults are in docs/decisions/0025. All times
are in seconds on the recording clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from whisperlive_hybrid.text.words import CLOSING, ends_sentence
from whisperlive_hybrid.types import Word

_ABBREVIATIONS: Final = {
    *("mr.", "mrs.", "ms.", "dr.", "prof.", "st.", "jr.", "sr.", "vs.", "vol.", "fig."),  # English
    *("hr.", "fr.", "nr."),  # German
    *("mme.", "mlle.", "sra.", "dra."),  # French, Spanish, Portuguese
}
"""Abbreviations that mostly precede a name or a number, so that their point ends no sentence; the
same applies to initials."""

REACH_S: Final = 0.25
"""Largest distance between the measured end of a word and the pause after it."""

Pause = tuple[float, float]
"""Start and end."""


@dataclass(frozen=True, slots=True)
class EndingOptions:
    """When an utterance ends although its speaker continues."""

    guard_s: float = 1.0
    """Audio that must follow a word."""
    shortest_sentence_s: float = 8.0
    """Shortest utterance that ends with a sentence; a shorter one continues with the next."""
    patience_s: float | None = None
    """Longest wait of a word for the end of its sentence; None for no limit."""
    shortest_s: float = 3.0
    """Shortest utterance that ends because of `patience_s`."""

    @property
    def soonest_s(self) -> float:
        """Length of an utterance before which it never ends early."""
        if self.patience_s is None:
            return self.shortest_sentence_s
        return min(self.shortest_sentence_s, self.patience_s)


def live_endings(patience_s: float) -> EndingOptions:
    """Return the options for the setting `live_patience_s`, in seconds; 0 for no limit."""
    return EndingOptions(patience_s=patience_s or None)


LONGEST_UPDATE_S: Final = 6.0
"""Length of an utterance from which an update decodes only its newest part."""

SHORTEST_UPDATE_S: Final = 3.0
"""Least audio of an update; the words of less are often wrong."""


def find_early_end(
    stable: Sequence[Word],
    pauses: Sequence[Pause],
    utterance: tuple[float, float],
    options: EndingOptions,
) -> float | None:
    """Return the time at which an utterance ends early, in the middle of a pause; None if not yet.

    `stable` are its stable words, `pauses` its pauses, and `utterance` its start and the end of its
    audio so far.
    """
    start, now = utterance
    # The newest words may still change, even if two hypotheses agree on them.
    ready = [word for word in stable if word.end <= now - options.guard_s]
    # The last sentence that has ended, so that the rest of the utterance is short.
    for word in reversed(ready):
        near = [p for p in pauses if p[1] > word.end - REACH_S and p[0] < word.end + REACH_S]
        if _ends_sentence(word) and word.end - start >= options.shortest_sentence_s and near:
            return _middle_of_longest(near)
    if options.patience_s is None or not ready or now - ready[0].end < options.patience_s:
        return None
    last = ready[-1].end + REACH_S
    inside = [p for p in pauses if p[0] >= start + options.shortest_s and p[1] <= last]
    return _middle_of_longest(inside) if inside else None


def find_update_start(stable: Sequence[Word], pauses: Sequence[Pause], now: float) -> float | None:
    """Return the time at which the next update of an utterance begins; None for the same as before.

    It is the middle of the last pause with stable words on both sides: a stable word after the
    pause keeps its spelling within the sentence. `now` is the end of the audio so far.
    """
    for start, end in reversed(pauses):
        middle = (start + end) / 2
        before = [word for word in stable if word.middle < middle]
        if now - end >= SHORTEST_UPDATE_S and 0 < len(before) < len(stable):
            return middle
    return None


def _middle_of_longest(pauses: Sequence[Pause]) -> float:
    start, end = max(pauses, key=lambda pause: pause[1] - pause[0])
    return (start + end) / 2


def _ends_sentence(word: Word) -> bool:
    """Return True if a word, or a text in place of one, ends a sentence."""
    *_, last = word.text.split() or [""]  # some words are a space, as in Thai
    bare = last.strip(CLOSING)
    is_abbreviation = (
        bare.casefold() in _ABBREVIATIONS or "." in bare[:-1] or len(bare) == len("J.")
    )
    return ends_sentence(bare) and not (bare.endswith(".") and is_abbreviation)

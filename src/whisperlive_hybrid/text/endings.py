"""Where an utterance may end although its speaker goes on, and where its updates begin to read.

A long utterance would be completed only when its speaker pauses for a second. Two things happen
before, both in a pause that is too short to be an endpoint:

- Behind a sentence that has ended, and behind which enough was heard, the utterance ends.
- Where words have waited for long, and an operator wants text soon, it ends in its longest pause.

What was heard behind a word is part of the evidence for it, so only words that have proved stable,
and behind which some time has passed, say where an utterance ends. The figures behind the defaults
are in docs/decisions/0025. All times are in seconds on one clock, that of the recording.
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
"""That are followed by a name or a number more often than by a sentence; so are initials."""

REACH_S: Final = 0.25
"""How far from the measured end of a word the pause behind it may lie."""

Pause = tuple[float, float]
"""Start and end."""


@dataclass(frozen=True, slots=True)
class EndingOptions:
    """When an utterance ends although its speaker goes on."""

    guard_s: float = 1.0
    """Speech that must have been heard behind a word."""
    shortest_sentence_s: float = 8.0
    """Utterances that end with a sentence last so long; shorter ones go on with the next."""
    patience_s: float | None = None
    """So old may a word become that waits for the end of its sentence; None for any age."""
    shortest_s: float = 3.0
    """Utterances that end because their words are old last so long."""

    @property
    def soonest_s(self) -> float:
        """Length of an utterance before which it does not end."""
        if self.patience_s is None:
            return self.shortest_sentence_s
        return min(self.shortest_sentence_s, self.patience_s)


def live_endings(patience_s: float) -> EndingOptions:
    """Return the endings for a patience as operators set it, in seconds; 0 for none."""
    return EndingOptions(patience_s=patience_s or None)


LONGEST_UPDATE_S: Final = 6.0
"""Audio from which on an update reads only the newest part of an utterance."""

SHORTEST_UPDATE_S: Final = 3.0
"""Audio that an update reads at least, for the words in it to be right."""


def find_early_end(
    stable: Sequence[Word],
    pauses: Sequence[Pause],
    utterance: tuple[float, float],
    options: EndingOptions,
) -> float | None:
    """Return where an utterance ends although its speaker goes on, in the middle of a pause.

    `stable` are its words that will stay, `pauses` are those in it, and `utterance` is where it
    begins and how far it was heard. None where it goes on.
    """
    start, heard = utterance
    ready = [word for word in stable if word.end <= heard - options.guard_s]
    for word in reversed(ready):
        near = [p for p in pauses if p[1] > word.end - REACH_S and p[0] < word.end + REACH_S]
        if _ends_sentence(word) and word.end - start >= options.shortest_sentence_s and near:
            return _middle_of_longest(near)
    if options.patience_s is None or not ready or heard - ready[0].end < options.patience_s:
        return None
    last = ready[-1].end + REACH_S
    inside = [p for p in pauses if p[0] >= start + options.shortest_s and p[1] <= last]
    return _middle_of_longest(inside) if inside else None


def find_update_start(
    stable: Sequence[Word], pauses: Sequence[Pause], heard: float
) -> float | None:
    """Return from where the next update of an utterance reads on; None for as before.

    It is the middle of the last pause that has stable words on both sides: a word behind it keeps
    the spelling that it has in the sentence. `heard` is how far the utterance was heard.
    """
    for start, end in reversed(pauses):
        middle = (start + end) / 2
        before = [word for word in stable if word.middle < middle]
        if heard - end >= SHORTEST_UPDATE_S and 0 < len(before) < len(stable):
            return middle
    return None


def _middle_of_longest(pauses: Sequence[Pause]) -> float:
    start, end = max(pauses, key=lambda pause: pause[1] - pause[0])
    return (start + end) / 2


def _ends_sentence(word: Word) -> bool:
    """Whether a word, or a text that stands for one, ends a sentence."""
    *_, last = word.text.split() or [""]  # Thai, for one, has words of a space alone
    bare = last.strip(CLOSING)
    is_abbreviation = (
        bare.casefold() in _ABBREVIATIONS or "." in bare[:-1] or len(bare) == len("J.")
    )
    return ends_sentence(bare) and not (bare.endswith(".") and is_abbreviation)

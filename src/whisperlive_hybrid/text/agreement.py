"""The stable words of an utterance that has not ended yet, by LocalAgreement-2.

A word is stable when two consecutive hypotheses agree on it and on everything before it (Liu et al.
2020, Macháček et al. 2023). The last word of a hypothesis never is: the audio may end inside it.
Case and punctuation are ignored, because they change from one hypothesis to the next; stable words
keep the spelling that they became stable with.
"""

import unicodedata
from collections.abc import Sequence
from itertools import accumulate


class Agreement:
    """The stable words of one utterance; a stable word never changes."""

    def __init__(self) -> None:
        self._previous: list[str] = []
        self._stable: list[str] = []
        self._n_agreed = 0

    @property
    def stable(self) -> str:
        """The stable text with its leading space; empty at the beginning."""
        return "".join(self._stable)

    @property
    def agreed(self) -> str:
        """The part of the last hypothesis that agrees with the one before it, in its spelling.

        It is shorter than `stable` if the last hypothesis lacks stable words.
        """
        return "".join(self._previous[: self._n_agreed])

    @property
    def text(self) -> str:
        """The last hypothesis, its beginning replaced by the stable words."""
        return self.stable + "".join(self._previous[len(self._stable) :])

    def forget(self, text: str) -> None:
        """Remove `text` from the beginning; the next hypotheses begin after it."""
        n_completed = len(leading_words(self._previous, text))
        del self._stable[:n_completed], self._previous[:n_completed]
        self._n_agreed -= n_completed

    def recall(self, text: str) -> None:
        """Undo `forget`: the next hypotheses begin with `text` again, which is stable."""
        words = split_words(text)
        self._stable[:0] = words
        self._previous[:0] = words
        self._n_agreed += len(words)

    def add(self, hypothesis: str) -> str:
        """Add the next hypothesis; return it with its beginning replaced by the stable words."""
        words = split_words(hypothesis)
        self._n_agreed = 0
        # The last word may be incomplete, so it agrees with nothing.
        for before, now in zip(self._previous, words[:-1], strict=False):
            if normalize_word(before) != normalize_word(now):
                break
            self._n_agreed += 1
        self._stable += words[len(self._stable) : self._n_agreed]
        self._previous = words
        return self.text


def split_words(text: str) -> list[str]:
    """Split a text into words with leading spaces, or a script without spaces into characters."""
    words = text.split()
    # "Lo" are letters without case, as in Chinese or Thai; other scripts have single words, too.
    if len(words) == 1 and any(unicodedata.category(letter) == "Lo" for letter in text):
        return list(text)
    return [" " + word for word in words]


def leading_words(words: Sequence[str], text: str) -> Sequence[str]:
    """Return those of `words` that `text` begins with; spaces are ignored."""
    room = len("".join(text.split()))
    lengths = accumulate(len("".join(word.split())) for word in words)
    return words[: sum(1 for length in lengths if length <= room)]


def normalize_word(word: str) -> str:
    """Return a word without case and punctuation; a word of punctuation only is unchanged."""
    bare = "".join(character for character in word.casefold() if character.isalnum())
    return bare or word.strip()

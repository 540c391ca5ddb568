"""Which words of an utterance that is still being spoken will stay: LocalAgreement-2.

A word is stable when two hypotheses in a row agree on it and on everything before it (Liu et al.
2020, Macháček et al. 2023). The last word of a hypothesis never is: the audio may end inside it.
Hypotheses are compared without case and punctuation, which flicker; stable words keep the spelling
they became stable with.
"""

import unicodedata
from collections.abc import Sequence
from itertools import accumulate, takewhile


class Agreement:
    """The stable words of one utterance; they are only ever added to."""

    def __init__(self) -> None:
        self._previous: list[str] = []
        self._stable: list[str] = []
        self._n_agreed = 0

    @property
    def stable(self) -> str:
        """The stable text, with its leading space; empty at the beginning."""
        return "".join(self._stable)

    @property
    def agreed(self) -> str:
        """The beginning of the last hypothesis in which the one before it agrees, as spelled there.

        It is shorter than `stable` where the last hypothesis has forgotten stable words.
        """
        return "".join(self._previous[: self._n_agreed])

    @property
    def text(self) -> str:
        """The last hypothesis, its beginning replaced by the stable words."""
        return self.stable + "".join(self._previous[len(self._stable) :])

    def forget(self, text: str) -> None:
        """Forget `text`, the beginning of the last hypothesis: those to come begin behind it."""
        n_completed = len(leading_words(self._previous, text))
        del self._stable[:n_completed], self._previous[:n_completed]
        self._n_agreed -= n_completed

    def recall(self, text: str) -> None:
        """Undo `forget`: hypotheses to come begin with `text` again, which stays stable."""
        words = split_words(text)
        self._stable[:0] = words
        self._previous[:0] = words
        self._n_agreed += len(words)

    def add(self, hypothesis: str) -> str:
        """Take the next hypothesis; return it with its beginning replaced by the stable words."""
        words = split_words(hypothesis)
        agreed = takewhile(
            lambda pair: normalize_word(pair[0]) == normalize_word(pair[1]),
            zip(self._previous, words[:-1], strict=False),
        )
        self._n_agreed = sum(1 for _ in agreed)
        self._stable += words[len(self._stable) : self._n_agreed]
        self._previous = words
        return self.text


def split_words(text: str) -> list[str]:
    """Words with their leading spaces; characters, in scripts that write without spaces."""
    words = text.split()
    if len(words) == 1 and any(unicodedata.category(letter) == "Lo" for letter in text):
        return list(text)
    return [" " + word for word in words]


def leading_words(words: Sequence[str], text: str) -> Sequence[str]:
    """Those of `words` that `text` begins with, whatever the spaces."""
    room = _n_letters(text)
    lengths = accumulate(_n_letters(word) for word in words)
    return words[: sum(1 for length in lengths if length <= room)]


def normalize_word(word: str) -> str:
    """A word for comparison: no case, no punctuation; bare punctuation stays itself."""
    bare = "".join(character for character in word.casefold() if character.isalnum())
    return bare or word.strip()


def _n_letters(text: str) -> int:
    return sum(not character.isspace() for character in text)

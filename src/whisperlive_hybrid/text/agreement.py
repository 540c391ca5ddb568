"""Which words of an utterance that is still being spoken will stay: LocalAgreement-2.

A word is stable when two hypotheses in a row agree on it and on everything before it (Liu et al.
2020, Macháček et al. 2023). The last word of a hypothesis never is: the audio may end inside it.
Hypotheses are compared without case and punctuation, which flicker; stable words keep the spelling
they became stable with.
"""

import unicodedata
from itertools import takewhile


class Agreement:
    """The stable words of one utterance; they are only ever added to."""

    def __init__(self) -> None:
        self._previous: list[str] = []
        self._stable: list[str] = []

    @property
    def stable(self) -> str:
        """The stable text, with its leading space; empty at the beginning."""
        return "".join(self._stable)

    def hear(self, hypothesis: str) -> str:
        """Take the next hypothesis; return it with its beginning replaced by the stable words."""
        words = split_words(hypothesis)
        agreed = takewhile(
            lambda pair: plain(pair[0]) == plain(pair[1]),
            zip(self._previous, words[:-1], strict=False),
        )
        n_agreed = sum(1 for _ in agreed)
        self._stable += words[len(self._stable) : n_agreed]
        self._previous = words
        return self.stable + "".join(words[len(self._stable) :])


def split_words(text: str) -> list[str]:
    """Words with their leading spaces; characters, in scripts that write without spaces."""
    words = text.split()
    if len(words) == 1 and any(unicodedata.category(letter) == "Lo" for letter in text):
        return list(text)
    return [" " + word for word in words]


def plain(word: str) -> str:
    """A word for comparison: no case, no punctuation; bare punctuation stays itself."""
    bare = "".join(character for character in word.casefold() if character.isalnum())
    return bare or word.strip()

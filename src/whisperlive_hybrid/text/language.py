"""Which language a recording is in, decided from its first windows."""

from collections import Counter
from typing import Final

from whisperlive_hybrid.types import Language

SURE: Final = 0.5
"""Above this probability one window decides (faster-whisper's bound)."""

LONGEST_VOTE: Final = 4
"""Windows after which the most frequent language wins."""


class LanguageVote:
    """Hears the language of window after window until it is sure."""

    def __init__(self) -> None:
        self._heard: list[Language] = []

    def hear(self, language: Language) -> Language | None:
        """Count the language of one window with speech; return the decision, if it is reached."""
        self._heard.append(language)
        if language.probability > SURE:
            return language
        return self.decide() if len(self._heard) >= LONGEST_VOTE else None

    def decide(self) -> Language | None:
        """The most frequent language so far, at its best probability; None if none was heard."""
        if not self._heard:
            return None
        counts = Counter(language.code for language in self._heard)
        winner, _ = counts.most_common(1)[0]
        best = max(each.probability for each in self._heard if each.code == winner)
        return Language(winner, best)


def told_language(code: str | None, known: frozenset[str]) -> Language | None:
    """The language that a caller named, or the only one that a model knows."""
    if code is None and len(known) == 1:
        code = min(known)
    return Language(code, 1.0) if code else None

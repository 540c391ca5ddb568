"""Which language a recording is in, decided from its first windows."""

from collections import Counter
from typing import Final

from whisperlive_hybrid.types import Language, Window

SURE: Final = 0.5
"""Above this probability one window decides (faster-whisper's bound)."""

LONGEST_VOTE: Final = 4
"""Windows after which the most frequent language wins."""

SWITCH_THRESHOLD: Final = 0.7
"""From this probability a stretch of speech may be in another language than the one before. Where
base was wrong about two seconds of speech or more, it was not half sure (docs/decisions/0022)."""

SHORTEST_SWITCH_S: Final = 2.0
"""Speech that such a stretch must have."""

CHECK_EVERY_S: Final = 60.0
"""Recording time between two windows whose language is detected only to report a change of it."""

SHORTEST_CHECK_S: Final = 3.0
"""Speech that such a window must have."""


class LanguageVote:
    """Hears the language of window after window until it is sure."""

    def __init__(self) -> None:
        self._heard: list[Language] = []

    def add(self, language: Language) -> Language | None:
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


class LanguageMonitor:
    """Chooses windows of a recording in one language to detect it again, and tells one change."""

    def __init__(self) -> None:
        self._asked: tuple[float, float] | None = None  # start and end of the last one
        self._has_changed = False

    def should_check(self, window: Window) -> bool:
        """Return whether the language of the next window shall be detected.

        The same utterance, longer than before, is wanted again.
        """
        if self._has_changed or window.speech_s < SHORTEST_CHECK_S:
            return False
        if self._asked is not None:
            start, end = self._asked
            if window.start != start and window.start < end + CHECK_EVERY_S:
                return False
        self._asked = window.start, window.end
        return True

    def detects_change(self, language: Language, window: Window, detected: Language) -> bool:
        """Return True for the first window that is surely in another language."""
        is_other = (
            detected.code != language.code
            and detected.probability >= SWITCH_THRESHOLD
            and window.speech_s >= SHORTEST_CHECK_S
        )
        is_first = is_other and not self._has_changed
        self._has_changed = self._has_changed or is_other
        return is_first


def requested_language(code: str | None, known: frozenset[str]) -> Language | None:
    """The language that a caller named, or the only one that a model knows."""
    if code is None and len(known) == 1:
        code = min(known)
    return Language(code, 1.0) if code else None


def is_switch(detected: Language, window: Window, threshold: float) -> bool:
    """Return True if a window is surely in the language that was detected in it."""
    return detected.probability >= threshold and window.speech_s >= SHORTEST_SWITCH_S

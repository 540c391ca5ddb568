"""The language of a recording: a vote over its first windows, and changes after that."""

from collections import Counter
from typing import Final

from whisperlive_hybrid.types import Language, Window

SURE: Final = 0.5
"""Probability above which one window decides; faster-whisper has the same limit."""

LONGEST_VOTE: Final = 4
"""Number of windows after which the most frequent language wins."""

SWITCH_THRESHOLD: Final = 0.7
"""Probability from which a stretch of speech may be in another language than the one before. The
model base was never half sure where it was wrong about two seconds of speech or more
(docs/decisions/0022)."""

SHORTEST_SWITCH_S: Final = 2.0
"""Seconds of speech that such a stretch needs."""

CHECK_EVERY_S: Final = 60.0
"""Recording time between two windows whose language is detected only to report a change."""

SHORTEST_CHECK_S: Final = 3.0
"""Seconds of speech that such a window needs."""


class LanguageVote:
    """A vote of the first windows of a recording on its language."""

    def __init__(self) -> None:
        self._languages: list[Language] = []

    def add(self, language: Language) -> Language | None:
        """Add the language of one window with speech; return the decision, once there is one."""
        self._languages.append(language)
        # A certain window decides alone: a vote would hold back its text for up to three windows.
        if language.probability > SURE:
            return language
        return self.decide() if len(self._languages) >= LONGEST_VOTE else None

    def decide(self) -> Language | None:
        """Return the most frequent language so far with its best probability; None without any."""
        if not self._languages:
            return None
        counts = Counter(language.code for language in self._languages)
        winner, _ = counts.most_common(1)[0]
        best = max(vote.probability for vote in self._languages if vote.code == winner)
        return Language(winner, best)


class LanguageMonitor:
    """Checks windows of a recording for a language other than its own, and reports one change."""

    def __init__(self) -> None:
        self._last_check: tuple[float, float] | None = None  # start and end of its window
        self._has_changed = False

    def should_check(self, window: Window) -> bool:
        """Return True if the language of the next window should be detected.

        A longer window of the same utterance is checked again: the shorter one was decoded ahead of
        the endpoint, and its result is replaced.
        """
        if self._has_changed or window.speech_s < SHORTEST_CHECK_S:
            return False
        if self._last_check is not None:
            start, end = self._last_check
            if window.start != start and window.start < end + CHECK_EVERY_S:
                return False
        self._last_check = window.start, window.end
        return True

    def detects_change(self, language: Language, window: Window, detected: Language) -> bool:
        """Return True for the first window that is in another language with certainty."""
        is_other = (
            detected.code != language.code
            and detected.probability >= SWITCH_THRESHOLD
            and window.speech_s >= SHORTEST_CHECK_S
        )
        is_first = is_other and not self._has_changed
        self._has_changed = self._has_changed or is_other
        return is_first


def requested_language(code: str | None, known: frozenset[str]) -> Language | None:
    """Return the language that the caller requested, or the only one of the model."""
    if code is None and len(known) == 1:
        code = min(known)
    return Language(code, 1.0) if code else None


def is_switch(detected: Language, window: Window, threshold: float) -> bool:
    """Return True if a window is in its detected language with certainty."""
    return detected.probability >= threshold and window.speech_s >= SHORTEST_SWITCH_S

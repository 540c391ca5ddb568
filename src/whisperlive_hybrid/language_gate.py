"""Holds back results until the language of the recording is certain; none is lost."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

import structlog

from whisperlive_hybrid.backends.base import Capabilities
from whisperlive_hybrid.text.language import (
    LanguageMonitor,
    LanguageVote,
    is_switch,
    requested_language,
)
from whisperlive_hybrid.types import DecodeOptions, DecodeResult, Language, Window

SILENT_LANGUAGE: Final = Language("en", 0.0)
"""Reported for recordings without speech."""

Decode = Callable[[Window, Language | None], Awaitable[DecodeResult]]
"""Decode a window in a language, or in the one that is detected in it."""

Read = tuple[Window, DecodeResult]

log = structlog.get_logger(__name__)


class LanguageGate:
    """The language of one recording: requested, or decided by a vote of its first windows.

    Files and live streams share it, so that both decide alike. With a `switch_threshold` the
    recording may have several, of which this is the first; `expected` then follows the speech.
    """

    def __init__(
        self,
        decode: Decode,
        requested: Language | None,
        switch_threshold: float | None = None,
        *,
        is_watched: bool = False,
    ) -> None:
        """`is_watched` has some windows checked for another language, to be logged."""
        self.language = requested
        """The language of the recording, or its first one; None until it is decided."""
        self.expected = requested
        """The language that the next window is probably in."""
        self._decode = decode
        self._switch_threshold = switch_threshold
        self._vote = LanguageVote()
        self._watch = LanguageMonitor()
        self._is_watched = is_watched and switch_threshold is None
        self._held: list[Read] = []

    @staticmethod
    def of(decode: Decode, options: DecodeOptions, capabilities: Capabilities) -> "LanguageGate":
        """Return the gate of a recording that is decoded with these options."""
        languages = capabilities.languages
        return LanguageGate(
            decode,
            requested_language(options.language, languages),
            options.switch_threshold,
            is_watched=len(languages) > 1,
        )

    async def admit(self, window: Window, reading: DecodeResult) -> list[Read]:
        """Take the next window in order; return what may be shown now, in order."""
        if reading.segments:
            self._held.append((window, reading))
            if self.language is None:
                self._decide(self._vote.add(reading.language))
        else:  # silence is in no language and never decoded again: its samples are not held
            self._held.append((replace(window, samples=window.samples[:0].copy()), reading))
        return await self._release() if self.language else []

    def settle(self, language: Language) -> None:
        """Take a language from elsewhere, unless it is decided or windows wait for the vote."""
        if self.language is None and not self._held:
            self._decide(language)

    def wants_check(self, window: Window) -> bool:
        """Return whether a window, which is decoded in `language`, is to be checked for it."""
        return self._is_watched and self.language is not None and self._watch.should_check(window)

    async def decide(self) -> list[Read]:
        """End the recording: decide with what there is, and return all that was held."""
        if self.language is None:
            self._decide(self._vote.decide() or SILENT_LANGUAGE)
        return await self._release()

    def _decide(self, language: Language | None) -> None:
        self.language = self.expected = language

    async def _release(self) -> list[Read]:
        held, self._held = self._held, []
        return [(window, await self._in_language(window, reading)) for window, reading in held]

    async def _in_language(self, window: Window, reading: DecodeResult) -> DecodeResult:
        """Decode a window again that was decoded in what proved to be the wrong language."""
        language = self.expected
        if not reading.segments or language is None:
            return reading
        if self._is_sure(window, reading):
            self.expected = reading.last_language
            return reading
        if self._is_watched and reading.detected is not None:
            self._report(window, language, reading.detected)
        if reading.language.code != language.code:
            return await self._decode(window, language)
        return reading

    def _is_sure(self, window: Window, reading: DecodeResult) -> bool:
        """Return whether a window has surely decided its own language."""
        threshold, detected = self._switch_threshold, reading.detected
        if threshold is None or detected is None:
            return False
        return is_switch(detected, window, threshold)

    def _report(self, window: Window, language: Language, detected: Language) -> None:
        """Log the first window in another language than the recording is decoded in."""
        if self._watch.detects_change(language, window, detected):
            log.warning(
                "the language seems to change, but all is read in one unless multilingual is set",
                language=language.code,
                detected=detected.code,
                probability=round(detected.probability, 3),
                start=round(window.start, 2),
                end=round(window.end, 2),
            )

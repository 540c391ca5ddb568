"""Holds back what was read until the language of the recording is sure; loses none of it."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from whisperlive_hybrid.text.language import LanguageVote
from whisperlive_hybrid.types import Language, Reading, Window

SILENT_LANGUAGE: Final = Language("en", 0.0)
"""What is reported where nobody speaks."""

Decode = Callable[[Window, Language | None], Awaitable[Reading]]
"""Read a window in a language, or in the one that it seems to be in."""

Read = tuple[Window, Reading]


class LanguageLock:
    """The language of one recording: told, or decided by a vote of its first windows.

    Files and live streams share it, so that both decide alike.
    """

    def __init__(self, decode: Decode, told: Language | None) -> None:
        self.language = told
        self._decode = decode
        self._vote = LanguageVote()
        self._held: list[Read] = []

    async def admit(self, window: Window, reading: Reading) -> list[Read]:
        """Take the next window in order; return what may be shown now, in order."""
        if reading.segments:
            self._held.append((window, reading))
            if self.language is None:
                self.language = self._vote.hear(reading.language)
        else:  # silence is in no language and never read again: its samples are not held
            self._held.append((replace(window, samples=window.samples[:0].copy()), reading))
        return await self._release() if self.language else []

    def settle(self, language: Language) -> None:
        """Take a language from elsewhere, unless it is decided or windows wait for the vote."""
        if self.language is None and not self._held:
            self.language = language

    async def decide(self) -> list[Read]:
        """End of the recording: decide with what was heard, and return all that was held."""
        self.language = self.language or self._vote.decide() or SILENT_LANGUAGE
        return await self._release()

    async def _release(self) -> list[Read]:
        held, self._held = self._held, []
        return [(window, await self._in_language(window, reading)) for window, reading in held]

    async def _in_language(self, window: Window, reading: Reading) -> Reading:
        """Read a window again that was read in what proved to be the wrong language."""
        language = self.language
        if not reading.segments or language is None or reading.language.code == language.code:
            return reading
        return await self._decode(window, language)

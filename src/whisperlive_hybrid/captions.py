"""What a live client sees: the language once, completed text, tentative text, gaps."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from whisperlive_hybrid.language_lock import LanguageLock, Read
from whisperlive_hybrid.speech.windows import on_recording_clock
from whisperlive_hybrid.text.agreement import Agreement
from whisperlive_hybrid.types import Language, Reading, Segment, Window, joined_text

SURE_EARLY: Final = 0.9
"""A language this probable in an update is settled before the first final."""


@dataclass(frozen=True, slots=True)
class LanguageFound:
    """The language is settled; comes once, before any text, unless the client named it."""

    language: Language


@dataclass(frozen=True, slots=True)
class Text:
    """What is known now, on the recording clock: `completed` never changes again."""

    completed: tuple[Segment, ...]
    tentative: Segment | None
    stable: str = ""
    """The beginning of the tentative text on which the last two updates agreed."""


@dataclass(frozen=True, slots=True)
class Gap:
    """The model failed twice on this stretch of the recording; it is told, never passed over."""

    start: float
    end: float


Publish = Callable[[LanguageFound | Text | Gap], Awaitable[None]]


class Captions:
    """Turns the readings of one stream into news for its client."""

    def __init__(self, publish: Publish, lock: LanguageLock, *, language_is_told: bool) -> None:
        """`language_is_told` says that the client named it and wants no message about it."""
        self._publish = publish
        self._lock = lock
        self._is_language_known = language_is_told
        self._is_tentative_shown = False
        self._agreement = Agreement()  # of the utterance at `_agreed_start`
        self._agreed_start = -1

    async def complete(self, reads: Sequence[Read]) -> None:
        """Show what was read finally; silence is no news."""
        completed = [
            segment
            for window, reading in reads
            for segment in on_recording_clock(window, reading.segments)
        ]
        if completed or self._is_tentative_shown:
            self._is_tentative_shown = False
            await self._show(Text(tuple(completed), None))

    async def guess(self, window: Window, reading: Reading) -> None:
        """Show a guess, once the language is sure enough for it to make sense."""
        if not reading.segments:
            return  # noise has no language
        if reading.language.probability >= SURE_EARLY:
            self._lock.settle(reading.language)
        if self._lock.language is None:
            return
        segments = on_recording_clock(window, reading.segments)
        words = tuple(word for segment in segments for word in segment.words or ())
        agreement = self._agreement_of(window)
        whole = replace(
            segments[0],
            end=segments[-1].end,
            text=agreement.hear(joined_text(segments)),
            words=words if segments[0].words is not None else None,
        )
        self._is_tentative_shown = True
        await self._show(Text((), whole, agreement.stable))

    async def gap(self, window: Window) -> None:
        """Tell that a stretch could not be read."""
        await self._publish(Gap(window.start, window.end))

    def _agreement_of(self, window: Window) -> Agreement:
        """What the updates of this utterance have agreed on; a new one begins with nothing."""
        start = window.spans[0].recording_sample
        if start != self._agreed_start:
            self._agreement, self._agreed_start = Agreement(), start
        return self._agreement

    async def _show(self, text: Text) -> None:
        if self._lock.language and not self._is_language_known:
            self._is_language_known = True
            await self._publish(LanguageFound(self._lock.language))
        await self._publish(text)

"""What a live client sees: the language once, completed text, tentative text, gaps."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from whisperlive_hybrid.language_lock import LanguageLock, Read
from whisperlive_hybrid.speech.windows import on_recording_clock
from whisperlive_hybrid.text.agreement import Agreement, leading
from whisperlive_hybrid.types import Language, Reading, Segment, Window, Word, joined_text

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

    def __init__(
        self,
        publish: Publish,
        lock: LanguageLock,
        *,
        language_is_told: bool,
        with_words: bool = False,
    ) -> None:
        """`language_is_told` says that the client named it and wants no message about it.

        `with_words` says that it wants word times, which guesses may have anyway.
        """
        self._publish = publish
        self._with_words = with_words
        self._lock = lock
        self._is_language_known = language_is_told
        self._is_tentative_shown = False
        self._guessed: list[Segment] = []  # the last guess that made sense
        self._rest: Segment | None = None  # of a guess whose beginning is being completed
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
            await self.show(Text(tuple(completed), self._rest))
            self._rest = None

    def guess(self, window: Window, reading: Reading) -> Text | None:
        """What to show of a guess, once the language is sure enough for it to make sense."""
        self._rest = None
        if not reading.segments:
            return None  # noise has no language
        if reading.language.probability >= SURE_EARLY:
            self._lock.settle(reading.language)
        if self._lock.language is None:
            return None
        self._guessed = on_recording_clock(window, reading.segments)
        agreement = self._agreement_of(window)
        text = agreement.hear(joined_text(self._guessed))
        return Text((), self._joined(_words(self._guessed), text), agreement.stable)

    def stable_words(self) -> list[Word]:
        """The words of the last guess that will stay, on the recording clock, if it has words."""
        words = _words(self._guessed)
        agreed = leading([word.text for word in words], self._agreement.agreed)
        return words[: len(agreed)]

    def piece(self, n_words: int) -> Text:
        """The last guess with its first words completed: the next goes on behind them."""
        words = _words(self._guessed)
        done, rest = words[:n_words], words[n_words:]
        completed = self._joined(done, _text(done))
        self._agreement.complete(completed.text)
        tentative = self._joined(rest, self._agreement.text) if rest else None
        return Text((completed,), tentative, self._agreement.stable)

    def keep_rest(self, end: float) -> None:
        """The utterance of the last guess ends at `end`: show what was behind until the next."""
        rest = [word for word in _words(self._guessed) if word.end > end]
        if rest:
            self._rest = self._joined(rest, _text(rest))

    def _joined(self, words: Sequence[Word], text: str) -> Segment:
        """One segment of the last guess; its times are those of `words`, or of all of it."""
        first, last = self._guessed[0], self._guessed[-1]
        return replace(
            first,
            start=words[0].start if words else first.start,
            end=words[-1].end if words else last.end,
            text=text,
            words=tuple(words) if self._with_words else None,
        )

    async def gap(self, window: Window, done_to: float = 0.0) -> None:
        """Tell that a window could not be read, of which `done_to` seconds are completed."""
        await self._publish(Gap(window.start + done_to, window.end))

    def _agreement_of(self, window: Window) -> Agreement:
        """What the updates of this utterance have agreed on; a new one begins with nothing."""
        start = window.spans[0].recording_sample
        if start != self._agreed_start:
            self._agreement, self._agreed_start = Agreement(), start
        return self._agreement

    async def show(self, text: Text) -> None:
        """Publish a text, and before the first one its language."""
        self._is_tentative_shown = text.tentative is not None
        if self._lock.language and not self._is_language_known:
            self._is_language_known = True
            await self._publish(LanguageFound(self._lock.language))
        await self._publish(text)


def _words(segments: Sequence[Segment]) -> list[Word]:
    return [word for segment in segments for word in segment.words or ()]


def _text(words: Sequence[Word]) -> str:
    return "".join(word.text for word in words)

"""The text of a live stream: the language once, completed text, tentative text, gaps."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

from whisperlive_hybrid.language_gate import LanguageGate, Read
from whisperlive_hybrid.protocol.live import Gap, LanguageDetected, SessionEvent, TextUpdate
from whisperlive_hybrid.speech.windows import to_recording_clock
from whisperlive_hybrid.text.agreement import Agreement, leading_words
from whisperlive_hybrid.types import DecodeResult, Segment, Window, Word, join_text

SURE_EARLY: Final = 0.9
"""A language this probable in an update is settled before the first final."""


Publish = Callable[[SessionEvent], Awaitable[None]]


class Captions:
    """Turns the results of one stream into events for its client."""

    def __init__(
        self,
        publish: Publish,
        lock: LanguageGate,
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
        self._guessed: Segment  # the first one of the last guess that made sense
        self._words: list[Word] = []  # those of that guess that are not kept
        self._kept: list[Word] = []  # of the utterance, before what updates read
        self._rest: Segment | None = None  # of a guess whose beginning is being completed
        self._agreement = Agreement()  # of the utterance at `_utterance`, behind the kept words
        self._utterance = -1

    async def complete(self, reads: Sequence[Read]) -> None:
        """Show what was read finally; silence changes nothing."""
        completed = [
            segment
            for window, reading in reads
            for segment in to_recording_clock(window, reading.segments)
        ]
        if completed or self._is_tentative_shown:
            await self.show(TextUpdate(tuple(completed), self._rest))
            self._rest = None

    def guess(self, window: Window, reading: DecodeResult, utterance: int) -> TextUpdate | None:
        """Return what to show of a guess, once the language is sure enough for it to make sense.

        `utterance` is the sample of the recording at which the utterance begins; `window` is all of
        it, or what comes behind the words that are kept.
        """
        self._rest = None
        if not reading.segments:
            return None  # noise has no language
        if reading.language.probability >= SURE_EARLY:
            self._lock.settle(reading.language)
        if self._lock.language is None:
            return None
        guessed = to_recording_clock(window, reading.segments)
        self._guessed, self._words = guessed[0], _words(guessed)
        if utterance != self._utterance:
            self._agreement, self._utterance, self._kept = Agreement(), utterance, []
        elif self._kept and window.spans[0].recording_sample == utterance:
            self._agreement.recall(_text(self._kept))
            self._kept = []
        self._agreement.add(join_text(guessed))
        return self._open_text()

    def stable_words(self) -> list[Word]:
        """Return the words of the open utterance that will stay, on the recording clock."""
        agreed = leading_words([word.text for word in self._words], self._agreement.agreed)
        return [*self._kept, *self._words[: len(agreed)]]

    def keep_before(self, time: float) -> None:
        """Updates begin to read at `time`: keep the words of the last guess before it."""
        kept = [word for word in self._words if word.middle < time]
        self._kept += kept
        self._words = self._words[len(kept) :]
        self._agreement.forget(_text(kept))

    def keep_all(self) -> None:
        """Updates begin to read behind the last guess, which was read as a final is."""
        self._kept += self._words
        self._words = []
        self._agreement = Agreement()

    def keep_rest(self, end: float) -> None:
        """The utterance of the last guess ends at `end`: show what was behind until the next."""
        rest = [word for word in [*self._kept, *self._words] if word.middle > end]
        if rest:
            self._rest = self._join(rest, _text(rest))

    def _open_text(self) -> TextUpdate:
        """What is kept and guessed of the utterance that is being spoken."""
        kept, words = _text(self._kept), [*self._kept, *self._words]
        segment = self._join(words, kept + self._agreement.text) if words else None
        return TextUpdate((), segment, kept + self._agreement.stable)

    def _join(self, words: Sequence[Word], text: str) -> Segment:
        """One segment of `words`, which are kept or guessed, that reads as `text`."""
        return replace(
            self._guessed,
            start=words[0].start,
            end=words[-1].end,
            text=text,
            words=tuple(words) if self._with_words else None,
        )

    async def gap(self, window: Window) -> None:
        """Publish that a window could not be decoded."""
        await self._publish(Gap(window.start, window.end))

    async def show(self, text: TextUpdate) -> None:
        """Publish a text, and before the first one its language."""
        self._is_tentative_shown = text.tentative is not None
        if self._lock.language and not self._is_language_known:
            self._is_language_known = True
            await self._publish(LanguageDetected(self._lock.language))
        await self._publish(text)


def _words(segments: Sequence[Segment]) -> list[Word]:
    """The words of segments; of one whose words were not measured, its text as if it were one."""
    return [
        word
        for each in segments
        for word in each.words or (Word(each.text, each.start, each.end, probability=1.0),)
    ]


def _text(words: Sequence[Word]) -> str:
    return "".join(word.text for word in words)

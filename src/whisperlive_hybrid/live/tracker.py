"""Decisions of a live stream: which windows are decoded, and what is published next.

The tracker does nothing itself. It is given samples with their probabilities of speech and the
results of decoding, and returns what to do; `live.session` does it. So every decision is made in
one step, between two awaits, from a state that cannot change meanwhile.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np

from whisperlive_hybrid.speech.regions import SHORTEST_PAUSE, VadOptions
from whisperlive_hybrid.speech.windows import WindowCutter
from whisperlive_hybrid.text.endings import (
    LONGEST_UPDATE_S,
    EndingOptions,
    find_early_end,
    find_update_start,
)
from whisperlive_hybrid.types import SAMPLE_RATE, DecodeResult, Samples, Window, Word

STALL_S: Final = 1.0
"""After so long without audio the newest samples are worth an update, however few they are."""


class FinalDecode:
    """The final decoding of one utterance."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.result: DecodeResult | None = None
        """None until the engine has answered."""
        self.is_gap = False
        """The result is empty because the model failed."""
        self.was_tried = False
        """Offered as a guess, before the endpoint confirmed it."""
        self.is_shown = False
        """Shown as such a guess."""

    def is_of(self, window: Window | None) -> bool:
        """Whether `window` is the same stretch of the recording."""
        return window is not None and self.window.spans == window.spans


@dataclass(slots=True)
class Commands:
    """What received audio makes necessary at once."""

    start: list[FinalDecode] = field(default_factory=list)
    cancel: list[FinalDecode] = field(default_factory=list)
    cancels_update: bool = False
    """The update in progress would have less text than a final that starts, and later."""
    keeps_guess: bool = False
    """The speaker went on behind a guess that is shown: its words stay, updates read on."""
    is_news: bool = False
    """Whether `next` may have another answer; silence changes nothing."""


@dataclass(frozen=True, slots=True)
class Complete:
    """Publish the result of an utterance that has ended."""

    final: FinalDecode


@dataclass(frozen=True, slots=True)
class ShowGuess:
    """Show the result of an utterance that seems to have ended, as tentative text."""

    final: FinalDecode


@dataclass(frozen=True, slots=True)
class Update:
    """Guess at the utterance that is being spoken."""

    utterance: Window
    newest: Window
    """What of it is decoded: all, or what follows the words that are kept."""
    has_words: bool
    """Whether word times are needed, to end the utterance early or to shorten later updates."""


@dataclass(frozen=True, slots=True)
class WaitForResult:
    """Wait until the oldest final has its result."""


@dataclass(frozen=True, slots=True)
class WaitForAudio:
    """Wait for audio, for at most `seconds`; None where nothing is open."""

    seconds: float | None


@dataclass(frozen=True, slots=True)
class End:
    """The stream has ended and everything is published."""


Action = Complete | ShowGuess | Update | WaitForResult | WaitForAudio | End


class UtteranceTracker:
    """The state of one live stream, and the decisions that follow from it."""

    def __init__(
        self,
        vad: VadOptions,
        longest_s: float,
        endings: EndingOptions | None,
        update_interval: Callable[[], float],
        stall_s: float = STALL_S,
    ) -> None:
        """`longest_s` bounds a window; `endings` is None where words have no times.

        `update_interval` returns how many seconds of new speech are worth another update now.
        """
        self._cutter = WindowCutter(vad, longest_s)
        self._endings = endings
        self._update_interval = update_interval
        self._stall_s = stall_s
        self._finals: deque[FinalDecode] = deque()  # of utterances that have ended
        self._guess: FinalDecode | None = None  # of an utterance that seems to have ended
        self._updates_from = (-1, 0.0)  # first sample of an utterance, recording time in it
        self._updated_to = 0  # samples that an update has seen
        self._has_ended = False
        self.has_stalled = False
        """Whether no audio came for `stall_s` although an utterance is open."""

    @property
    def n_samples(self) -> int:
        """Samples received so far."""
        return self._cutter.n_samples

    @property
    def n_waiting(self) -> int:
        """Ended utterances that are not published."""
        return len(self._finals)

    @property
    def is_in_speech(self) -> bool:
        """Whether an utterance is open."""
        return self._cutter.open_start is not None

    def receive(self, samples: Samples, probabilities: Iterable[float]) -> Commands:
        """Take samples, and the probabilities of speech of the frames that they complete."""
        return self._apply(self._cutter.push(samples, probabilities))

    def finish(self, probabilities: Iterable[float]) -> Commands:
        """End the stream: what is open is an utterance."""
        nothing: Samples = np.zeros(0, np.float32)
        ended = self._cutter.push(nothing, probabilities) + self._cutter.flush()
        self._has_ended = True
        commands = self._apply(ended)
        commands.is_news = True
        return commands

    def next(self) -> Action:
        """Return the most important thing to do now."""
        if self._finals:
            is_ready = self._finals[0].result is not None
            return Complete(self._finals.popleft()) if is_ready else WaitForResult()
        if self._has_ended:
            return End()
        guess = self._guess
        if guess and guess.result and not guess.was_tried:
            guess.was_tried = True
            return ShowGuess(guess)
        # While a guess at the whole utterance is decoded, an update would have less text.
        if not guess and (utterance := self._due_utterance()):
            return self._update_of(utterance)
        return WaitForAudio(self._stall_s if self.is_in_speech else None)

    def end_early(self, utterance: Window, stable: Sequence[Word]) -> tuple[float, Commands] | None:
        """End the open utterance in a pause of it, if `text.endings` says that it is time.

        `stable` are its words that will not change. Return where it ended, and what to do.
        """
        if self._endings is None or not self._is_open(utterance):
            return None
        times = (utterance.start, utterance.end)
        end = find_early_end(stable, _pauses(utterance), times, self._endings)
        if end is None:
            return None
        ended = self._cutter.end_at(round(end * SAMPLE_RATE))
        return (end, self._apply(ended)) if ended else None

    def shorten_updates(self, update: Update, stable: Sequence[Word]) -> float | None:
        """Let the next update begin in a pause of this one, if it is long and has a good one.

        Return the recording time of that pause: the words before it are kept.
        """
        newest = update.newest
        if not self._is_open(update.utterance) or newest.duration < LONGEST_UPDATE_S:
            return None
        start = find_update_start(stable, _pauses(newest), newest.end)
        if start is not None:
            self._updates_from = first_sample(update.utterance), start
        return start

    def _apply(self, ended: Sequence[Window]) -> Commands:
        """Start the finals of utterances that have ended, or that seem to."""
        commands = Commands()
        for window in ended:
            self._finals.append(self._begin(window, commands))
            self._guess = None
        speculative = self._cutter.speculative_window()
        if self._guess and not self._guess.is_of(speculative):
            commands.cancel.append(self._guess)  # the speaker went on
            if self._guess.is_shown and self._is_open(self._guess.window):
                commands.keeps_guess = True
                self._updates_from = first_sample(self._guess.window), self._guess.window.end
            self._guess = None
        if speculative and not self._guess:
            self._guess = self._begin(speculative, commands)
        commands.is_news = bool(ended) or self.is_in_speech
        return commands

    def _begin(self, window: Window, commands: Commands) -> FinalDecode:
        """Start a final, or take over the one that was started on a guess."""
        if self._guess and self._guess.is_of(window):
            return self._guess
        if self._guess:
            commands.cancel.append(self._guess)
        final = FinalDecode(window)
        commands.start.append(final)
        commands.cancels_update = True
        return final

    def _due_utterance(self) -> Window | None:
        """Return the open utterance, if there is enough speech in it that no update has seen."""
        start = self._cutter.open_start
        if start is None:
            return None
        unseen = self._cutter.n_samples - max(self._updated_to, start)
        enough = self._update_interval() * SAMPLE_RATE
        if self.has_stalled:
            enough = 1
        elif silence := self._cutter.silence:
            if silence < SHORTEST_PAUSE:
                return None
            unseen -= silence
        return self._cutter.open_window() if unseen >= enough else None

    def _update_of(self, utterance: Window) -> Update:
        self._updated_to = self._cutter.n_samples
        first, begin = self._updates_from
        is_shorter = first == first_sample(utterance)
        newest = utterance.rest_from(begin - utterance.start) if is_shorter else utterance
        is_long = newest.duration >= LONGEST_UPDATE_S
        endings = self._endings
        has_words = endings is not None and (is_long or utterance.duration >= endings.soonest_s)
        return Update(utterance, newest, has_words)

    def _is_open(self, utterance: Window) -> bool:
        """Whether the utterance that begins as this window does is still being spoken."""
        return self._cutter.open_start == first_sample(utterance)


def first_sample(window: Window) -> int:
    """Return the sample of the recording at which a window begins."""
    return window.spans[0].recording_sample


def _pauses(window: Window) -> list[tuple[float, float]]:
    """Return the pauses in which a window may be cut, on the recording clock."""
    return [
        (end + window.start, start + window.start)
        for (_, end), (start, _) in pairwise(window.speech)
        if (start - end) * SAMPLE_RATE >= SHORTEST_PAUSE
    ]

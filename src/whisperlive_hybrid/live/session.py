"""The use case of a live stream: samples in as they come, text out as soon as it is known.

An utterance is read in two layers. While it is spoken, *updates* guess at it: greedy, one at a
time, dropped when something better is there. An update of a long utterance reads its newest audio,
behind words that are *kept* as they were read. When the utterance ends, the *final* reading of all
of it is made with the options that a file gets. It is begun half a second before the endpoint and
shown at the endpoint; if the speaker goes on before that, it was one more update.

A long utterance may end before its speaker pauses for long (`text.endings`).

Nothing is dropped: a client that sends faster than the model reads is slowed down by `hear`.
"""

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

import anyio
import anyio.abc
import anyio.lowlevel
import numpy as np
import structlog

from whisperlive_hybrid.engine.capacity import FASTEST_UPDATES_S
from whisperlive_hybrid.engine.client import Decoder
from whisperlive_hybrid.errors import BackendFailed
from whisperlive_hybrid.language_lock import SILENT_LANGUAGE, LanguageLock, Read
from whisperlive_hybrid.live.captions import Captions, Publish
from whisperlive_hybrid.live.latency import NOBODY, Delays, StreamObserver
from whisperlive_hybrid.notifier import Notifier
from whisperlive_hybrid.speech.regions import LIVE_VAD, SHORTEST_PAUSE, VadOptions
from whisperlive_hybrid.speech.windows import LONGEST_UTTERANCE_S, WindowCutter
from whisperlive_hybrid.text.endings import (
    LONGEST_UPDATE_S,
    EndingOptions,
    find_early_end,
    find_update_start,
)
from whisperlive_hybrid.transcribe import VoiceDetector
from whisperlive_hybrid.types import (
    SAMPLE_RATE,
    DecodeOptions,
    DecodeResult,
    Language,
    Samples,
    Urgency,
    Window,
)

log = structlog.get_logger(__name__)

STALL_S: Final = 1.0
"""After so long without a frame the newest audio is worth an update, however little it is."""

BACKLOG: Final = 4
"""Ended utterances that may wait for their final before the client is slowed down."""

BLOCK: Final = SAMPLE_RATE
"""Samples judged at a time, however large the client's frames are."""

_USUAL_CONTEXT_S: Final = 10.0
"""The contexts of most updates are at most so long; one bound for all of them lets them share
calls."""

_TOKENS_PER_S: Final = 8
_SPARE_TOKENS: Final = 8


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """How to read one stream."""

    options: DecodeOptions = field(default_factory=DecodeOptions)
    vad: VadOptions = LIVE_VAD
    endings: EndingOptions = field(default_factory=EndingOptions)
    """When an utterance ends although its speaker goes on; never, where words have no times."""


class _Final:
    """The final reading of one utterance; `reading` is None until the engine has answered."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.scope = anyio.CancelScope()
        self.reading: DecodeResult | None = None
        self.is_gap = False  # the reading is empty because the model failed
        self.was_tried = False  # as a guess, before it was confirmed
        self.is_shown = False  # as such a guess

    def is_of(self, window: Window | None) -> bool:
        """Whether `window` is the same stretch of the recording."""
        return window is not None and self.window.spans == window.spans


def update_options(options: DecodeOptions, audio_s: float) -> DecodeOptions:
    """Options of a guess at an open utterance, whose text is bounded as `audio_s` of speech is."""
    most_tokens = round(_TOKENS_PER_S * audio_s) + _SPARE_TOKENS
    return replace(options, beam_size=1, is_guess=True, max_new_tokens=most_tokens)


class _Reader:
    """Reads the windows of one stream: finals as a file is read, updates fast."""

    def __init__(self, decoder: Decoder, options: DecodeOptions) -> None:
        self._decoder = decoder
        self._options = options

    async def final(
        self,
        window: Window,
        language: Language | None,
        *,
        checks_language: bool = False,
    ) -> DecodeResult | None:
        """Read an utterance; try once more after a failure of the model; None if it fails again."""
        code = language.code if language else None
        options = replace(self._options, language=code, checks_language=checks_language)
        with suppress(BackendFailed):
            return await self._decoder.decode(window, options, Urgency.FINAL)
        with suppress(BackendFailed):
            return await self._decoder.decode(window, options, Urgency.FINAL)
        return None

    async def update(
        self, window: Window, language: Language | None, *, words: bool
    ) -> DecodeResult | None:
        """Guess at an open utterance; None if the model fails, which the final will tell."""
        code = language.code if language else None
        context_s = self._decoder.capabilities.context_for(window.duration, code)
        told = replace(self._options, language=code, words=words or self._options.words)
        options = update_options(told, max(context_s, _USUAL_CONTEXT_S))
        with suppress(BackendFailed):
            return await self._decoder.decode(window, options, Urgency.UPDATE)
        return None


class LiveSession:
    """One live stream: `hear` and `finish` feed it, `run` publishes; all on one event loop."""

    def __init__(
        self,
        decoder: Decoder,
        detector: VoiceDetector,
        live: LiveOptions,
        publish: Publish,
        tasks: anyio.abc.TaskGroup,
        observer: StreamObserver = NOBODY,
        update_interval: Callable[[], float] = lambda: FASTEST_UPDATES_S,
    ) -> None:
        """`tasks` owns the readings in flight; what `publish` raises ends it.

        When `publish` returns, the client counts as told. `update_interval` returns how many
        seconds of new speech are worth another update now.
        """
        able = decoder.capabilities
        able.check(live.options)
        self._reader = _Reader(decoder, live.options)
        self._tasks = tasks
        self._observer = observer
        self._update_interval = update_interval
        self._delays = Delays(live.vad, observer)
        self._voice = detector.open()
        self._cutter = WindowCutter(live.vad, min(able.longest_window_s, LONGEST_UTTERANCE_S))
        self._lock = LanguageLock.of(self._read_again, live.options, able)
        is_told = live.options.language is not None
        self._captions = Captions(
            publish, self._lock, language_is_told=is_told, with_words=live.options.words
        )
        self._endings = live.endings if able.word_times else None
        self._updates_from = (-1, 0.0)  # first sample of an utterance, recording time in it
        self._finals: deque[_Final] = deque()  # of utterances that have ended
        self._guess: _Final | None = None  # of an utterance that seems to have ended
        self._update = anyio.CancelScope()
        self._updated_to = 0  # samples that an update has seen
        self._has_stalled = False
        self._has_ended = False
        self._changed = Notifier()

    @property
    def is_in_speech(self) -> bool:
        """Whether an utterance is open."""
        return self._cutter.open_start is not None

    async def run(self) -> None:
        """Publish until the stream has ended and all that was heard is published."""
        while not self._has_ended or self._finals:
            await self._next_move()
        await self._complete(await self._lock.decide())

    async def hear(self, samples: Samples) -> None:
        """Take the next samples; waits while too many utterances are unread."""
        for first in range(0, len(samples), BLOCK):
            block = samples[first : first + BLOCK]
            # On the event loop: a frame takes 0.4 ms, and its way through a thread as much again.
            self._notice(self._cutter.push(block, self._voice.push(block)))
            self._delays.heard(self._cutter.n_samples)
            await anyio.lowlevel.checkpoint()
            while len(self._finals) > BACKLOG:
                await self._changed.next().wait()

    async def finish(self) -> None:
        """The stream has ended: what is open is completed, then `run` returns."""
        silence: Samples = np.zeros(0, np.float32)
        self._notice(self._cutter.push(silence, self._voice.flush()) + self._cutter.flush())
        self._has_ended = True
        self._changed.notify()

    def _notice(self, ended: list[Window]) -> None:
        """Begin the final reading of utterances that have ended, or that seem to."""
        for window in ended:
            self._finals.append(self._begin(window))
            self._guess = None
        settled = self._cutter.speculative_window()
        if self._guess and not self._guess.is_of(settled):
            self._guess.scope.cancel()  # the speaker went on
            if self._guess.is_shown:
                self._keep_guess(self._guess.window)
            self._guess = None
        if settled and not self._guess:
            self._guess = self._begin(settled)
        if ended or self.is_in_speech:  # silence is no news to `run`
            self._changed.notify()

    def _begin(self, window: Window) -> _Final:
        """Begin a final reading, or take over the one that was begun on a guess."""
        if self._guess and self._guess.is_of(window):
            return self._guess
        if self._guess:
            self._guess.scope.cancel()
        final = _Final(window)
        self._tasks.start_soon(self._fill, final)
        self._update.cancel()  # it would tell less, and later
        return final

    async def _next_move(self) -> None:
        """Publish the most important thing that can be published, or wait for one."""
        if self._finals:
            reading = self._finals[0].reading
            if reading is None:
                await self._changed.next().wait()
            else:
                final = self._finals.popleft()
                self._changed.notify()
                if final.is_gap:
                    await self._captions.gap(final.window)
                await self._complete(await self._lock.admit(final.window, reading))
        elif (guess := self._guess) and guess.reading and not guess.was_tried:
            guess.was_tried = True
            text = self._captions.guess(guess.window, guess.reading, _first_sample(guess.window))
            guess.is_shown = text is not None
            if text:
                await self._captions.show(text)
        elif not self._guess and (window := self._due_update()):
            await self._read_update(window)
        else:
            await self._wait_for_audio()

    async def _complete(self, reads: Sequence[Read]) -> None:
        """Publish what was read finally."""
        await self._captions.complete(reads)
        self._delays.sent(reads)

    async def _wait_for_audio(self) -> None:
        """Wait for a change; notice when none comes although an utterance is open.

        The Python client sends a file, waits for text, and says END_OF_AUDIO when it needs none
        any more: the end of a file that ends in a word must be shown before.
        """
        with anyio.move_on_after(STALL_S if self.is_in_speech else None) as patience:
            await self._changed.next().wait()
        self._has_stalled = patience.cancelled_caught

    def _due_update(self) -> Window | None:
        """The open utterance, if there is enough speech in it that no update has seen."""
        start = self._cutter.open_start
        if start is None:
            return None
        unseen = self._cutter.n_samples - max(self._updated_to, start)
        enough = self._update_interval() * SAMPLE_RATE
        if self._has_stalled:
            enough = 1
        elif silence := self._cutter.silence:
            if silence < SHORTEST_PAUSE:
                return None
            unseen -= silence
        return self._cutter.open_window() if unseen >= enough else None

    async def _fill(self, final: _Final) -> None:
        with final.scope, self._observer.reading(Urgency.FINAL):
            checks = self._lock.wants_check(final.window)
            reading = await self._reader.final(
                final.window, self._lock.expected, checks_language=checks
            )
            final.is_gap = reading is None
            for start, end in reading.unread if reading else ():
                offset = final.window.start  # the windows of a stream are one stretch of it
                log.info(
                    "no text for speech", start=round(start + offset, 2), end=round(end + offset, 2)
                )
            final.reading = reading or self._nothing()
        self._changed.notify()

    async def _read_again(self, window: Window, language: Language | None) -> DecodeResult:
        """Read a window that was read in the wrong language, or tell the gap."""
        reading = await self._reader.final(window, language)
        if reading is None:
            await self._captions.gap(window)
        return reading or self._nothing()

    def _nothing(self) -> DecodeResult:
        return DecodeResult((), self._lock.language or SILENT_LANGUAGE)

    async def _read_update(self, window: Window) -> None:
        """Guess at an open utterance; given up as soon as a final is begun."""
        self._updated_to = self._cutter.n_samples
        utterance, begin = self._updates_from
        is_shorter = utterance == _first_sample(window)
        newest = window.rest_from(begin - window.start) if is_shorter else window
        endings, has_words = self._endings, False
        if endings:
            is_long = newest.duration >= LONGEST_UPDATE_S
            has_words = is_long or window.duration >= endings.soonest_s
        reading: DecodeResult | None = None
        with anyio.CancelScope() as self._update, self._observer.reading(Urgency.UPDATE):
            reading = await self._reader.update(newest, self._lock.expected, words=has_words)
        if reading is None or self._update.cancel_called:  # a final has begun: it tells more
            return
        text = self._captions.guess(newest, reading, _first_sample(window))
        if text is None:
            return
        if endings and has_words and self._is_open(window):
            if self._ends_early(window, endings):
                return
            self._shorten_updates(window, newest)
        await self._captions.show(text)

    def _ends_early(self, window: Window, endings: EndingOptions) -> bool:
        """End the open utterance in a pause of it, if it is time for that; return whether it did.

        Nothing is awaited here: no sample can come in between the reading and the cut.
        """
        stable = self._captions.stable_words()
        end = find_early_end(stable, _pauses(window), (window.start, window.end), endings)
        if end is None:
            return False
        ended = self._cutter.end_at(round(end * SAMPLE_RATE))
        if ended:
            self._captions.keep_rest(end)
            self._notice(ended)
        return bool(ended)

    def _shorten_updates(self, window: Window, newest: Window) -> None:
        """Let the next update read on in a pause of this one, if it is long and has a good one.

        `newest` is what it read of `window`.
        """
        if newest.duration < LONGEST_UPDATE_S:
            return
        start = find_update_start(self._captions.stable_words(), _pauses(newest), newest.end)
        if start is not None:
            self._captions.keep_before(start)
            self._updates_from = _first_sample(window), start

    def _keep_guess(self, window: Window) -> None:
        """The speaker goes on behind what was read as if it were all: updates read what follows."""
        if self._is_open(window):
            self._captions.keep_all()
            self._updates_from = _first_sample(window), window.end

    def _is_open(self, window: Window) -> bool:
        """Whether the utterance that begins as `window` does is still being spoken."""
        return self._cutter.open_start == _first_sample(window)


def _first_sample(window: Window) -> int:
    return window.spans[0].recording_sample


def _pauses(window: Window) -> list[tuple[float, float]]:
    """The pauses in which a window may be cut, on the recording clock."""
    return [
        (end + window.start, start + window.start)
        for (_, end), (start, _) in pairwise(window.speech)
        if (start - end) * SAMPLE_RATE >= SHORTEST_PAUSE
    ]

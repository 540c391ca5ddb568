"""The use case of a live stream: samples in as they come, text out as soon as it is known.

An utterance is read in two layers. While somebody speaks, *updates* guess at it: greedy, the
newest audio only, one at a time, thrown away when something better is there. When it ends, the
*final* reading is made by the very options and windows that a file gets, so that both doors write
the same text. The final is begun as soon as the post-roll of silence was heard, and shown at the
endpoint; if the speaker goes on before that, it was one more update.

Nothing is dropped: a client that sends faster than the model reads is slowed down by `hear`.
"""

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

import anyio
import anyio.abc
import anyio.lowlevel
import numpy as np
import structlog

from whisperlive_hybrid.captions import Captions, Publish, Text
from whisperlive_hybrid.delays import NOBODY, Delays, StreamObserver
from whisperlive_hybrid.engine.capacity import FASTEST_UPDATES_S
from whisperlive_hybrid.engine.decoder import Decoder
from whisperlive_hybrid.errors import BackendFailed
from whisperlive_hybrid.language_lock import (
    SILENT_LANGUAGE,
    LanguageLock,
    Read,
)
from whisperlive_hybrid.speech.regions import LIVE_VAD, VadOptions
from whisperlive_hybrid.speech.windows import LONGEST_UTTERANCE_S, WindowCutter
from whisperlive_hybrid.text.pieces import PieceOptions, are_old, ready_words, sentence_end
from whisperlive_hybrid.transcribe import VoiceDetector
from whisperlive_hybrid.types import (
    SAMPLE_RATE,
    DecodeOptions,
    Language,
    Prefix,
    Reading,
    Samples,
    Segment,
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

_TOKENS_PER_S: Final = 8
_SPARE_TOKENS: Final = 8


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """How to read one stream."""

    options: DecodeOptions = field(default_factory=DecodeOptions)
    vad: VadOptions = LIVE_VAD
    pieces: PieceOptions | None = field(default_factory=PieceOptions)
    """When words are completed while their speaker goes on; None for never."""


class _Final:
    """The final reading of one utterance; `reading` is None until the engine has answered."""

    def __init__(self, window: Window, prefix: Prefix | None) -> None:
        self.window = window
        self.prefix = prefix
        self.scope = anyio.CancelScope()
        self.reading: Reading | None = None
        self.is_gap = False  # the reading is empty because the model failed
        self.is_shown = False  # as a guess, before it was confirmed

    @property
    def done_to(self) -> float:
        """The window time up to which its text was completed before."""
        return self.prefix.end if self.prefix else 0.0

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
        prefix: Prefix | None = None,
        *,
        checks_language: bool = False,
    ) -> Reading | None:
        """Read an utterance; try once more after a failure of the model; None if it fails again."""
        code = language.code if language else None
        options = replace(
            self._options, language=code, prefix=prefix, checks_language=checks_language
        )
        with suppress(BackendFailed):
            return await self._decoder.decode(window, options, Urgency.FINAL)
        with suppress(BackendFailed):
            return await self._decoder.decode(window, options, Urgency.FINAL)
        return None

    async def update(
        self, window: Window, language: Language | None, prefix: Prefix | None, *, words: bool
    ) -> Reading | None:
        """Guess at an open utterance; None if the model fails, which the final will tell."""
        code = language.code if language else None
        context_s = self._decoder.capabilities.context_for(window.duration, code)
        told = replace(
            self._options, language=code, prefix=prefix, words=words or self._options.words
        )
        options = update_options(told, context_s)
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
        self._pieces = live.pieces if able.word_times else None
        if self._pieces and not (able.prefixes and live.options.switch_threshold is None):
            # A piece inside an utterance would bind the rest to its language.
            self._pieces = replace(self._pieces, patience_s=None)
        self._prefix: Prefix | None = None  # what is completed of the utterance at `_prefix_start`
        self._prefix_start = -1
        self._finals: deque[_Final] = deque()  # of utterances that have ended
        self._guess: _Final | None = None  # of an utterance that seems to have ended
        self._update = anyio.CancelScope()
        self._updated_to = 0  # samples that an update has seen
        self._has_stalled = False
        self._has_ended = False
        self._changed = anyio.Event()

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
            self._delays.heard(self._cutter.heard)
            await anyio.lowlevel.checkpoint()
            while len(self._finals) > BACKLOG:
                await self._changed.wait()

    async def finish(self) -> None:
        """The stream has ended: what is open is completed, then `run` returns."""
        silence: Samples = np.zeros(0, np.float32)
        self._notice(self._cutter.push(silence, self._voice.flush()) + self._cutter.flush())
        self._has_ended = True
        self._wake()

    def _notice(self, ended: list[Window]) -> None:
        """Begin the final reading of utterances that have ended, or that seem to."""
        for window in ended:
            self._finals.append(self._begin(window))
            self._guess = None
        settled = self._cutter.settled_window()
        if self._guess and not self._guess.is_of(settled):
            self._guess.scope.cancel()  # the speaker went on
            self._guess = None
        if settled and not self._guess:
            self._guess = self._begin(settled)
        if ended or self.is_in_speech:  # silence is no news to `run`
            self._wake()

    def _begin(self, window: Window) -> _Final:
        """Begin a final reading, or take over the one that was begun on a guess."""
        if self._guess and self._guess.is_of(window):
            return self._guess
        if self._guess:
            self._guess.scope.cancel()
        final = _Final(window, self._prefix_of(window))
        self._tasks.start_soon(self._fill, final)
        self._update.cancel()  # it would tell less, and later
        return final

    async def _next_move(self) -> None:
        """Publish the most important thing that can be published, or wait for one."""
        if self._finals:
            reading = self._finals[0].reading
            if reading is None:
                await self._changed.wait()
            else:
                final = self._finals.popleft()
                self._wake()
                if final.is_gap:
                    await self._captions.gap(final.window, final.done_to)
                await self._complete(await self._lock.admit(final.window, reading))
        elif self._guess and self._guess.reading and not self._guess.is_shown:
            self._guess.is_shown = True
            guess = self._captions.guess(self._guess.window, self._guess.reading)
            if guess:
                await self._captions.show(guess)
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
            await self._changed.wait()
        self._has_stalled = patience.cancelled_caught

    def _due_update(self) -> Window | None:
        """The open utterance, if there is enough in it that no update has seen."""
        start = self._cutter.open_start
        if start is None or (self._cutter.silence and not self._has_stalled):
            return None
        unseen = self._cutter.heard - max(self._updated_to, start)
        enough = 1 if self._has_stalled else self._update_interval() * SAMPLE_RATE
        return self._cutter.open_window() if unseen >= enough else None

    async def _fill(self, final: _Final) -> None:
        with final.scope, self._observer.reading(Urgency.FINAL):
            checks = self._lock.wants_check(final.window)
            reading = await self._reader.final(
                final.window, self._lock.expected, final.prefix, checks_language=checks
            )
            final.is_gap = reading is None
            for start, end in reading.unread if reading else ():
                offset = final.window.start  # the windows of a stream are one stretch of it
                log.info(
                    "no text for speech", start=round(start + offset, 2), end=round(end + offset, 2)
                )
            final.reading = reading or self._nothing()
        self._wake()

    async def _read_again(self, window: Window, language: Language | None) -> Reading:
        """Read a window that was read in the wrong language, or tell the gap."""
        reading = await self._reader.final(window, language)
        if reading is None:
            await self._captions.gap(window)
        return reading or self._nothing()

    def _nothing(self) -> Reading:
        return Reading((), self._lock.language or SILENT_LANGUAGE)

    async def _read_update(self, window: Window) -> None:
        """Guess at an open utterance; given up as soon as a final is begun."""
        self._updated_to = self._cutter.heard
        reading: Reading | None = None
        prefix, pieces = self._prefix_of(window), self._pieces
        unread_s = window.duration - (prefix.end if prefix else 0.0)
        may_complete = pieces is not None and unread_s >= pieces.soonest_s
        with anyio.CancelScope() as self._update, self._observer.reading(Urgency.UPDATE):
            reading = await self._reader.update(
                window, self._lock.expected, prefix, words=may_complete
            )
        if reading is None or self._update.cancel_called:  # a final has begun: it tells more
            return
        text = self._captions.guess(window, reading)
        if text and pieces and may_complete:
            text = self._completed_early(window, pieces) or text
        if text:
            await self._captions.show(text)

    def _completed_early(self, window: Window, pieces: PieceOptions) -> Text | None:
        """End the utterance behind a sentence, or return a piece of it, if it is time for either.

        Nothing is awaited here: no sample can come in between the reading and the cut.
        """
        stable = self._captions.stable_words()
        ready = ready_words(stable, window.end, pieces)
        end = sentence_end(ready, window.start, pieces)
        if end is not None and (ended := self._cutter.end_near(round(end * SAMPLE_RATE))):
            self._captions.keep_rest(end)
            self._notice(ended)
            return None
        if not are_old(ready, window.end, pieces):
            return None
        text = self._captions.piece(len(ready))
        self._go_on_behind(text.completed[0], window)
        return text

    def _go_on_behind(self, piece: Segment, window: Window) -> None:
        """What is read of this utterance from now on begins behind a piece of it."""
        before = self._prefix_of(window)
        self._prefix = Prefix(
            (before.text if before else "") + piece.text, piece.end - window.start
        )
        self._prefix_start = window.spans[0].recording_sample
        self._cutter.keep_whole(round(piece.end * SAMPLE_RATE))

    def _prefix_of(self, window: Window) -> Prefix | None:
        """What is completed already of the utterance that begins as `window` does."""
        return self._prefix if self._prefix_start == window.spans[0].recording_sample else None

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

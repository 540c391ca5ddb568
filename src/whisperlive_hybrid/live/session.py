"""The use case of a live stream: samples in as they arrive, text out as soon as it is known.

An utterance is decoded in two layers. While it is spoken, *updates* guess at it: greedy, one at a
time, dropped when something better is there. An update of a long utterance decodes its newest
audio, behind words that are *kept*. When the utterance ends, the *final* decoding of all of it is
made with the options that a file gets. It starts half a second before the endpoint and is shown at
the endpoint; if the speaker goes on before that, it was one more update. A long utterance may end
before its speaker pauses for long (`text.endings`).

`live.tracker` decides, the session acts. Nothing is dropped: a client that sends faster than the
model decodes is slowed down by `receive`.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

import anyio
import anyio.abc
import anyio.lowlevel
import structlog

from whisperlive_hybrid.engine.capacity import FASTEST_UPDATES_S
from whisperlive_hybrid.engine.client import Decoder
from whisperlive_hybrid.errors import BackendFailed
from whisperlive_hybrid.language_gate import SILENT_LANGUAGE, LanguageGate, Read
from whisperlive_hybrid.live.captions import Captions, Publish
from whisperlive_hybrid.live.latency import NO_STREAM_OBSERVER, LatencyTracker, StreamObserver
from whisperlive_hybrid.live.tracker import (
    STALL_S,
    Commands,
    Complete,
    End,
    FinalDecode,
    ShowGuess,
    Update,
    UtteranceTracker,
    WaitForAudio,
    WaitForResult,
    first_sample,
)
from whisperlive_hybrid.notifier import Notifier
from whisperlive_hybrid.speech.regions import LIVE_VAD, VadOptions
from whisperlive_hybrid.speech.windows import LONGEST_UTTERANCE_S
from whisperlive_hybrid.text.endings import EndingOptions
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
    """How to decode one stream."""

    options: DecodeOptions = field(default_factory=DecodeOptions)
    vad: VadOptions = LIVE_VAD
    endings: EndingOptions = field(default_factory=EndingOptions)
    """When an utterance ends although its speaker goes on; never, where words have no times."""
    stall_s: float = STALL_S
    """After so long without audio an update is made of what there is."""


def update_options(options: DecodeOptions, audio_s: float) -> DecodeOptions:
    """Return the options of a guess, whose text is bounded as that of `audio_s` of speech."""
    most_tokens = round(_TOKENS_PER_S * audio_s) + _SPARE_TOKENS
    return replace(options, beam_size=1, is_guess=True, max_new_tokens=most_tokens)


class LiveSession:
    """One live stream: `receive` and `finish` feed it, `run` publishes; all on one event loop."""

    def __init__(
        self,
        decoder: Decoder,
        detector: VoiceDetector,
        live: LiveOptions,
        publish: Publish,
        tasks: anyio.abc.TaskGroup,
        observer: StreamObserver = NO_STREAM_OBSERVER,
        update_interval: Callable[[], float] = lambda: FASTEST_UPDATES_S,
    ) -> None:
        """`tasks` owns the windows in the engine; what `publish` raises ends it.

        When `publish` returns, the client counts as informed. `update_interval` returns how many
        seconds of new speech are worth another update now.
        """
        capabilities = decoder.capabilities
        capabilities.check(live.options)
        self._decoder = decoder
        self._options = live.options
        self._tasks = tasks
        self._observer = observer
        self._latency = LatencyTracker(live.vad, observer)
        self._voice = detector.open()
        longest_s = min(capabilities.longest_window_s, LONGEST_UTTERANCE_S)
        endings = live.endings if capabilities.word_times else None
        self._tracker = UtteranceTracker(
            live.vad, longest_s, endings, update_interval, live.stall_s
        )
        self._lock = LanguageGate.of(self._decode_again, live.options, capabilities)
        is_told = live.options.language is not None
        self._captions = Captions(
            publish, self._lock, language_is_told=is_told, with_words=live.options.words
        )
        self._scopes: dict[FinalDecode, anyio.CancelScope] = {}
        self._update = anyio.CancelScope()
        self._changed = Notifier()

    @property
    def is_in_speech(self) -> bool:
        """Whether an utterance is open."""
        return self._tracker.is_in_speech

    async def run(self) -> None:
        """Publish until the stream has ended and all of it is published."""
        while True:
            match self._tracker.next():
                case Complete(final):
                    self._changed.notify()  # the client may be waiting for the backlog
                    if final.is_gap:
                        await self._captions.gap(final.window)
                    assert final.result is not None  # noqa: S101 (else it is not complete)
                    await self._publish(await self._lock.admit(final.window, final.result))
                case ShowGuess(final):
                    await self._show_guess(final)
                case Update() as update:
                    await self._run_update(update)
                case WaitForResult():
                    await self._changed.next().wait()
                case WaitForAudio(seconds):
                    # The Python client sends a file, waits for text, and says END_OF_AUDIO when it
                    # needs none any more: the end of a file must be shown before.
                    with anyio.move_on_after(seconds) as waiting:
                        await self._changed.next().wait()
                    self._tracker.has_stalled = waiting.cancelled_caught
                case End():
                    await self._publish(await self._lock.decide())
                    return

    async def receive(self, samples: Samples) -> None:
        """Take the next samples; wait while too many utterances are not decoded."""
        for first in range(0, len(samples), BLOCK):
            block = samples[first : first + BLOCK]
            # On the event loop: a frame takes 0.4 ms, and its way through a thread as much again.
            self._execute(self._tracker.receive(block, self._voice.push(block)))
            self._latency.record_audio(self._tracker.n_samples)
            await anyio.lowlevel.checkpoint()
            while self._tracker.n_waiting > BACKLOG:
                await self._changed.next().wait()

    async def finish(self) -> None:
        """End the stream: what is open is completed, then `run` returns."""
        self._execute(self._tracker.finish(self._voice.flush()))

    def _execute(self, commands: Commands) -> None:
        for final in commands.cancel:
            if final in self._scopes:  # else it has its result
                self._scopes[final].cancel()
        for final in commands.start:
            self._scopes[final] = anyio.CancelScope()
            self._tasks.start_soon(self._decode_final, final)
        if commands.cancels_update:
            self._update.cancel()
        if commands.keeps_guess:
            self._captions.keep_all()
        if commands.is_news:
            self._changed.notify()

    async def _publish(self, reads: Sequence[Read]) -> None:
        await self._captions.complete(reads)
        self._latency.record_text(reads)

    async def _show_guess(self, final: FinalDecode) -> None:
        assert final.result is not None  # noqa: S101 (else it is not offered)
        text = self._captions.guess(final.window, final.result, first_sample(final.window))
        final.is_shown = text is not None
        if text:
            await self._captions.show(text)

    async def _decode_final(self, final: FinalDecode) -> None:
        """Fill in the result of a final; an empty one where the model fails twice."""
        window = final.window
        with self._scopes[final], self._observer.span(Urgency.FINAL):
            checks_language = self._lock.wants_check(window)
            result = await self._decode(
                window, self._lock.expected, checks_language=checks_language
            )
            final.is_gap = result is None
            for start, end in result.unread if result else ():
                offset = window.start  # the windows of a stream are one stretch of it
                log.info(
                    "no text for speech", start=round(start + offset, 2), end=round(end + offset, 2)
                )
            final.result = result or self._nothing()
        del self._scopes[final]
        self._changed.notify()

    async def _decode(
        self, window: Window, language: Language | None, *, checks_language: bool = False
    ) -> DecodeResult | None:
        """Decode an utterance as a file is; try again after a failure; None if it fails again."""
        code = language.code if language else None
        options = replace(self._options, language=code, checks_language=checks_language)
        for _ in range(2):
            with suppress(BackendFailed):
                return await self._decoder.decode(window, options, Urgency.FINAL)
        return None

    async def _decode_again(self, window: Window, language: Language | None) -> DecodeResult:
        """Decode a window that was decoded in the wrong language, or publish the gap."""
        result = await self._decode(window, language)
        if result is None:
            await self._captions.gap(window)
        return result or self._nothing()

    def _nothing(self) -> DecodeResult:
        return DecodeResult((), self._lock.language or SILENT_LANGUAGE)

    async def _run_update(self, update: Update) -> None:
        """Guess at an open utterance; give up as soon as a final starts, which has more text."""
        language, newest = self._lock.expected, update.newest
        code = language.code if language else None
        context_s = self._decoder.capabilities.context_for(newest.duration, code)
        has_words = update.has_words or self._options.words
        options = update_options(
            replace(self._options, language=code, words=has_words),
            max(context_s, _USUAL_CONTEXT_S),
        )
        result: DecodeResult | None = None
        with (
            anyio.CancelScope() as self._update,
            self._observer.span(Urgency.UPDATE),
            suppress(BackendFailed),  # the final will report it
        ):
            result = await self._decoder.decode(newest, options, Urgency.UPDATE)
        if result is None or self._update.cancel_called:
            return
        text = self._captions.guess(newest, result, first_sample(update.utterance))
        if text is None:
            return
        if update.has_words:
            # Nothing is awaited between the result and the cut: no sample can come in between.
            stable = self._captions.stable_words()
            if early := self._tracker.end_early(update.utterance, stable):
                end, commands = early
                self._captions.keep_rest(end)
                self._execute(commands)
                return
            start = self._tracker.shorten_updates(update, stable)
            if start is not None:
                self._captions.keep_before(start)
        await self._captions.show(text)

"""The use case of a file: samples in, segments out, with memory bounded by the windows.

Audio is pulled, never pushed: a window is cut only when the engine has room for another one, so a
file of any length holds a few windows' worth of samples. Windows are decoded side by side and
returned in order.

    async with media.open(file) as recording:
        async with transcriber.stream(recording.blocks(), request) as transcription:
            async for update in transcription:
                ...
    transcription.transcript
"""

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import BinaryIO, Final, Protocol

import anyio
import anyio.abc
import anyio.to_thread
import numpy as np
import structlog

from whisperlive_hybrid.backends.base import Capabilities
from whisperlive_hybrid.engine.client import Decoder
from whisperlive_hybrid.errors import BadAudio
from whisperlive_hybrid.language_gate import SILENT_LANGUAGE, LanguageGate, Read
from whisperlive_hybrid.speech.regions import VadOptions
from whisperlive_hybrid.speech.windows import WindowCutter, recording_time, to_recording_clock
from whisperlive_hybrid.types import (
    SAMPLE_RATE,
    DecodeOptions,
    DecodeResult,
    Language,
    Samples,
    Segment,
    Urgency,
    Window,
)

MOST_WINDOWS_AHEAD: Final = 32
"""Windows of one file in the engine at once, whatever its size: others want to get in as well."""


log = structlog.get_logger(__name__)


class VoiceStream(Protocol):
    """Judges which parts of one recording are speech."""

    def push(self, samples: Samples) -> list[float]:
        """The probability of speech in each frame that `samples` complete."""

    def flush(self) -> list[float]:
        """The probability of the last, incomplete frame, if there is one."""


class VoiceDetector(Protocol):
    """Makes voice streams."""

    def open(self) -> VoiceStream:
        """Begin a stream with fresh state."""


@dataclass(frozen=True, slots=True)
class FileRequest:
    """What to do with a recording."""

    options: DecodeOptions = field(default_factory=DecodeOptions)
    vad: VadOptions = field(default_factory=VadOptions)
    urgency: Urgency = Urgency.SHORT_FILE


@dataclass(frozen=True, slots=True)
class WindowDone:
    """What one more window of a recording has brought."""

    segments: tuple[Segment, ...]
    """New ones, on the recording clock."""
    language: Language
    done: float
    """Recording time up to which everything is decoded."""
    unread: tuple[tuple[float, float], ...] = ()
    """As in `Transcript`, of this window."""

    @property
    def text(self) -> str:
        """The new text, with its leading space."""
        return "".join(segment.text for segment in self.segments)


@dataclass(frozen=True, slots=True)
class Transcript:
    """A whole recording."""

    segments: tuple[Segment, ...]
    language: Language
    duration: float
    speech: float
    """Seconds that were left after silence was cut out."""
    unread: tuple[tuple[float, float], ...] = ()
    """Stretches in which the detector found speech and the model wrote nothing, on the recording
    clock."""


class Checkpoint(Protocol):
    """Results of one recording from before, maybe of a process that has died since.

    Cutting is deterministic, so a recording that is started again comes in the same windows. A
    result belongs to the language that was requested, None where it was to be detected: before
    the language is certain, a window may be decoded twice.
    """

    async def recall(self, window: Window, language: str | None) -> DecodeResult | None:
        """Return what `keep` was given for this very window and language, if anything."""

    async def keep(self, window: Window, language: str | None, reading: DecodeResult) -> None:
        """Store a result that the model has just produced."""


class Transcription:
    """A recording on its way through the engine: iterate over it once, then take `transcript`."""

    def __init__(
        self,
        decoder: Decoder,
        request: FileRequest,
        cuts: "_Cuts",
        threads: anyio.CapacityLimiter,
        tasks: anyio.abc.TaskGroup,
        checkpoint: Checkpoint | None,
    ) -> None:
        """`tasks` owns the windows in the engine, and must not end before the iteration."""
        self._decoder = decoder
        self._request = request
        self._cuts = cuts
        self._threads = threads
        self._tasks = tasks
        self._checkpoint = checkpoint
        self._has_begun = False  # whether a window was given to the engine
        self._segments: list[Segment] = []
        self._unread: list[tuple[float, float]] = []
        self._language = SILENT_LANGUAGE

    @property
    def transcript(self) -> Transcript:
        """Everything decoded so far; the whole recording after the iteration."""
        cuts, segments = self._cuts, tuple(self._segments)
        unread = tuple(self._unread)
        return Transcript(segments, self._language, cuts.duration, cuts.speech, unread)

    async def __aiter__(self) -> AsyncIterator[WindowDone]:
        """Decode all windows and yield what each has brought, in order."""
        async for window, reading in self._windows():
            segments = tuple(to_recording_clock(window, reading.segments))
            unread = tuple(
                (recording_time(window, start), recording_time(window, end, is_end=True))
                for start, end in reading.unread
            )
            for start, end in unread:
                log.info("no text for speech", start=round(start, 2), end=round(end, 2))
            self._segments += segments
            self._unread += unread
            yield WindowDone(segments, self._language, window.end, unread)

    async def _windows(self) -> AsyncIterator[Read]:
        """Yield the windows with their results; `_language` is known before the first one."""
        lock = LanguageGate.of(self._decode, self._request.options, self._decoder.capabilities)
        # Until the language is certain, windows are decoded one by one: they are shown in it.
        shown: list[Read] = []
        while lock.language is None and (window := await self._next_window()):
            shown = await lock.admit(window, await self._decode(window, None))
        shown = shown or await lock.decide()
        self._language = language = lock.language or SILENT_LANGUAGE
        for read in shown:
            yield read
        ahead = _windows_ahead(self._decoder.capabilities)
        pending: deque[_Pending] = deque()
        while True:
            while len(pending) < ahead and (window := await self._next_window()):
                pending.append(_Pending(window, checks_language=lock.wants_check(window)))
                # The first language, and not that of the window before: how many windows are
                # decoded side by side must not decide on any text. Where it matters, `admit`
                # decodes again.
                self._tasks.start_soon(self._settle, pending[-1], language)
            if not pending:
                return
            first = pending.popleft()
            await first.settled.wait()
            for read in await lock.admit(first.window, first.reading):
                yield read

    async def _settle(self, pending: "_Pending", language: Language) -> None:
        pending.reading = await self._decode(
            pending.window, language, checks_language=pending.checks_language
        )
        pending.settled.set()

    async def _decode(
        self, window: Window, language: Language | None, *, checks_language: bool = False
    ) -> DecodeResult:
        code, checkpoint = language.code if language else None, self._checkpoint
        if checkpoint and (known := await checkpoint.recall(window, code)):
            return known
        options = replace(self._request.options, language=code, checks_language=checks_language)
        continues, self._has_begun = self._has_begun, True
        reading = await self._decoder.decode(
            window, options, self._request.urgency, continues=continues
        )
        if checkpoint:
            await checkpoint.keep(window, code, reading)
        return reading

    async def _next_window(self) -> Window | None:
        return await anyio.to_thread.run_sync(self._cuts.next, limiter=self._threads)


class Transcriber:
    """Transcribes recordings with one model."""

    def __init__(self, decoder: Decoder, detector: VoiceDetector) -> None:
        self._decoder = decoder
        self._detector = detector
        # Decoding media and judging voices is real work; more threads than workers only compete.
        self._threads = anyio.CapacityLimiter(max(2, decoder.capabilities.workers))

    @property
    def capabilities(self) -> Capabilities:
        """What the model can do."""
        return self._decoder.capabilities

    @property
    def decoder(self) -> Decoder:
        """The model itself, for those who cut windows in another way."""
        return self._decoder

    @asynccontextmanager
    async def stream(
        self,
        blocks: Iterable[Samples],
        request: FileRequest,
        checkpoint: Checkpoint | None = None,
    ) -> AsyncIterator[Transcription]:
        """Decode a recording while the caller iterates; windows of `checkpoint` are not repeated.

        `blocks` are (n,) float32 arrays of any size. They are read in a thread, one at a time, and
        only as fast as windows are decoded. What their iteration and `Decoder.decode` raise is
        raised here, and all queued work of the recording is withdrawn; so it is when the context
        ends before the iteration.
        """
        self.capabilities.check(request.options)
        cuts = _Cuts(blocks, self._detector.open(), request, self.capabilities)
        try:
            async with anyio.create_task_group() as tasks:
                yield Transcription(self._decoder, request, cuts, self._threads, tasks, checkpoint)
                tasks.cancel_scope.cancel()
        except ExceptionGroup as group:
            first = _first_cause(group)
            raise first from first.__cause__  # `from None` would forget why

    async def transcribe(
        self,
        blocks: Iterable[Samples],
        request: FileRequest,
        checkpoint: Checkpoint | None = None,
    ) -> Transcript:
        """Decode a recording to its end, as `stream` does, without intermediate results."""
        async with self.stream(blocks, request, checkpoint) as transcription:
            async for _ in transcription:
                pass
        return transcription.transcript


class _Cuts:
    """The windows of a recording, cut on demand in whatever thread asks for the next one."""

    def __init__(
        self,
        blocks: Iterable[Samples],
        voice: VoiceStream,
        request: FileRequest,
        able: Capabilities,
    ) -> None:
        self._cutter = WindowCutter(request.vad, able.longest_window_s)
        self._windows = self._generate(blocks, voice)
        self.speech = 0.0

    @property
    def duration(self) -> float:
        """Seconds of the recording read so far."""
        return self._cutter.n_samples / SAMPLE_RATE

    def next(self) -> Window | None:
        """Read on until a window is complete; None after the last one."""
        window = next(self._windows, None)
        self.speech += window.duration if window else 0.0
        return window

    def _generate(self, blocks: Iterable[Samples], voice: VoiceStream) -> Iterator[Window]:
        for block in blocks:
            yield from self._cutter.push(block, voice.push(block))
        yield from self._cutter.push(np.zeros(0, np.float32), voice.flush())
        yield from self._cutter.flush()


def _windows_ahead(able: Capabilities) -> int:
    """Windows that one file keeps in the engine: each worker runs a full batch, and one gathers.

    More would only cost memory: each holds its samples and its encoder output.
    """
    return min(MOST_WINDOWS_AHEAD, (able.workers + 1) * able.generate_limit(is_live=False))


class _Pending:
    """A window in the engine, and its reading once that is settled."""

    def __init__(self, window: Window, *, checks_language: bool) -> None:
        self.window = window
        self.checks_language = checks_language
        self.settled = anyio.Event()
        self.reading = DecodeResult((), SILENT_LANGUAGE)


def _first_cause(group: ExceptionGroup[Exception]) -> Exception:
    """The first plain exception of a group: one failed window is why all were given up."""
    first = group.exceptions[0]
    return _first_cause(first) if isinstance(first, ExceptionGroup) else first


SHORTEST_AUDIO_S: Final = 0.1
"""OpenAI refuses less."""

FILES_OPENED_AT_ONCE: Final = 2
"""Opening costs the most memory: a hostile index takes up to 850 MB for some seconds (measured)."""


class AudioReader(Protocol):
    """An opened recording."""

    @property
    def duration_s(self) -> float | None:
        """The length that the file claims, before anything is decoded."""

    def blocks(self) -> Iterator[Samples]:
        """(n,) float32 arrays, mono, 16 kHz."""


class OpenMedia(Protocol):
    """Opens a file; called and entered in a thread."""

    def __call__(
        self, file: BinaryIO, /, *, audio_track: int | None
    ) -> AbstractContextManager[AudioReader]:
        """Open the track asked for, None for the file's default one.

        Raises `BadAudio` for what is no audio and for a track that is not there.
        """


class OpenRecording:
    """An opened media file."""

    def __init__(self, audio: AudioReader, on_audio: Callable[[float], None]) -> None:
        self._audio = audio
        self._on_audio = on_audio

    @property
    def claimed_s(self) -> float | None:
        """The length that the file claims, before anything is decoded."""
        return self._audio.duration_s

    def blocks(self) -> Iterator[Samples]:
        """Yield (n,) float32 arrays, mono, 16 kHz. Raise `BadAudio` if that is too little audio."""
        duration_s = 0.0
        for block in self._audio.blocks():
            self._on_audio(len(block) / SAMPLE_RATE)
            duration_s += len(block) / SAMPLE_RATE
            yield block
        if duration_s < SHORTEST_AUDIO_S:
            raise BadAudio(
                f"Audio file is too short. Minimum audio length is {SHORTEST_AUDIO_S} seconds.",
                param="file",
                code="audio_too_short",
            )


class MediaFiles:
    """Opens media files; all servers and jobs share the bound on how many at the same time."""

    def __init__(
        self,
        open_media: OpenMedia,
        on_audio: Callable[[float], None] = lambda _: None,
        opening: anyio.CapacityLimiter | None = None,
    ) -> None:
        """`on_audio` is called with the seconds of all audio that is decoded, in a thread."""
        self._open_media = open_media
        self._on_audio = on_audio
        self._opening = opening or anyio.CapacityLimiter(FILES_OPENED_AT_ONCE)

    def with_callback(self, on_audio: Callable[[float], None]) -> "MediaFiles":
        """Return the same for another part of the server, whose audio is reported to `on_audio`."""
        return MediaFiles(self._open_media, on_audio, self._opening)

    @asynccontextmanager
    async def open(
        self, file: BinaryIO, *, audio_track: int | None = None
    ) -> AsyncIterator[OpenRecording]:
        """Open a file. `audio_track` counts from 0; None is the file's default one.

        Raise `BadAudio`.
        """
        with ExitStack() as opened:
            audio = await anyio.to_thread.run_sync(
                lambda: opened.enter_context(self._open_media(file, audio_track=audio_track)),
                limiter=self._opening,
            )
            yield OpenRecording(audio, self._on_audio)

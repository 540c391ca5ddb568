"""The use case of a file: blocks of samples in, segments out, with memory bounded by the windows.

Audio is pulled, never pushed: a window is cut only when the engine has room for another one, so a
file of any length holds a few windows' worth of samples. Windows are read side by side and answered
in order.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
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
from whisperlive_hybrid.language_lock import SILENT_LANGUAGE, LanguageLock, Read
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
class Advance:
    """News of a recording after one more of its windows was read."""

    segments: tuple[Segment, ...]
    """New ones, on the recording clock."""
    language: Language
    done: float
    """Recording time up to which everything is read."""
    unread: tuple[tuple[float, float], ...] = ()
    """As in `Transcript`, of this window."""


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


OnAdvance = Callable[[Advance], Awaitable[None]]


async def ignore(_: Advance) -> None:
    """Nobody wants to hear of the progress."""


class Memory(Protocol):
    """What was read of one recording before, maybe by a process that has died since.

    Cutting is deterministic, so a recording that is begun again comes in the same windows. A
    reading belongs to the language that was asked for, None where it was to be detected: before
    the language is sure, a window may be read twice.
    """

    async def recall(self, window: Window, language: str | None) -> DecodeResult | None:
        """What `keep` was given for this very window and language; None if nothing."""

    async def keep(self, window: Window, language: str | None, reading: DecodeResult) -> None:
        """Remember a reading that the model has just made."""


class _NoMemory:
    """The memory of a recording that is read in one go."""

    async def recall(self, window: Window, language: str | None) -> DecodeResult | None:
        """Know nothing."""
        del window, language
        return None

    async def keep(self, window: Window, language: str | None, reading: DecodeResult) -> None:
        """Forget at once."""


NO_MEMORY: Final[Memory] = _NoMemory()
"""For a recording that is read in one go."""


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

    async def transcript(
        self,
        blocks: Iterable[Samples],
        request: FileRequest,
        on_advance: OnAdvance = ignore,
        memory: Memory = NO_MEMORY,
    ) -> Transcript:
        """Transcribe a recording to its end; windows that `memory` knows are not read again.

        `blocks` are (n,) float32 arrays of any size; they are read in a thread, one at a time, only
        as fast as windows are read. What their iteration raises, and what `Decoder.decode` raises,
        comes out here, and all queued work of the recording is withdrawn.
        """
        self.capabilities.check(request.options)
        cuts = _Cuts(blocks, self._detector.open(), request, self.capabilities)
        segments: list[Segment] = []
        unread: list[tuple[float, float]] = []

        async def collect(advance: Advance) -> None:
            segments.extend(advance.segments)
            unread.extend(advance.unread)
            for start, end in advance.unread:
                log.info("no text for speech", start=round(start, 2), end=round(end, 2))
            await on_advance(advance)

        try:
            async with anyio.create_task_group() as tasks:
                run = _Run(self._decoder, request, cuts, self._threads, tasks, memory)
                language = await run.read(collect)
        except ExceptionGroup as group:
            first = _first_cause(group)
            raise first from first.__cause__  # `from None` would forget why
        return Transcript(tuple(segments), language, cuts.duration, cuts.speech, tuple(unread))


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
        self._windows = self._cut(blocks, voice)
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

    def _cut(self, blocks: Iterable[Samples], voice: VoiceStream) -> Iterator[Window]:
        for block in blocks:
            yield from self._cutter.push(block, voice.push(block))
        yield from self._cutter.push(np.zeros(0, np.float32), voice.flush())
        yield from self._cutter.flush()


class _Run:
    """One recording on its way through the engine."""

    def __init__(
        self,
        decoder: Decoder,
        request: FileRequest,
        cuts: _Cuts,
        threads: anyio.CapacityLimiter,
        tasks: anyio.abc.TaskGroup,
        memory: Memory,
    ) -> None:
        self._decoder = decoder
        self._request = request
        self._cuts = cuts
        self._threads = threads
        self._tasks = tasks
        self._memory = memory
        self._has_begun = False  # whether a window was handed to the engine
        self._ahead = _windows_ahead(decoder.capabilities)

    async def read(self, emit: OnAdvance) -> Language:
        """Read all windows, emit their segments in order, and say which language it was.

        Of several languages, the first one.
        """
        lock = LanguageLock.of(self._decode, self._request.options, self._decoder.capabilities)
        language = await self._find_language(lock, emit)
        pending: deque[_Pending] = deque()
        while True:
            while len(pending) < self._ahead and (window := await self._next_window()):
                pending.append(_Pending(window, checks_language=lock.wants_check(window)))
                # The first language, and not that of the window before: how many windows are read
                # side by side must not decide on any text. Where it matters, `admit` reads again.
                self._tasks.start_soon(self._settle, pending[-1], language)
            if not pending:
                return language
            first = pending.popleft()
            await first.settled.wait()
            for window, reading in await lock.admit(first.window, first.reading):
                await emit(_advance(window, reading, language))

    async def _find_language(self, lock: LanguageLock, emit: OnAdvance) -> Language:
        """Read windows one by one until the language is sure, then emit them in that language."""
        shown: list[Read] = []
        while lock.language is None and (window := await self._next_window()):
            shown = await lock.admit(window, await self._decode(window, None))
        shown = shown or await lock.decide()
        language = lock.language or SILENT_LANGUAGE
        for window, reading in shown:
            await emit(_advance(window, reading, language))
        return language

    async def _settle(self, pending: "_Pending", language: Language) -> None:
        pending.reading = await self._decode(
            pending.window, language, checks_language=pending.checks_language
        )
        pending.settled.set()

    async def _decode(
        self, window: Window, language: Language | None, *, checks_language: bool = False
    ) -> DecodeResult:
        code = language.code if language else None
        if known := await self._memory.recall(window, code):
            return known
        options = replace(self._request.options, language=code, checks_language=checks_language)
        continues, self._has_begun = self._has_begun, True
        reading = await self._decoder.decode(
            window, options, self._request.urgency, continues=continues
        )
        await self._memory.keep(window, code, reading)
        return reading

    async def _next_window(self) -> Window | None:
        return await anyio.to_thread.run_sync(self._cuts.next, limiter=self._threads)


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


def _advance(window: Window, reading: DecodeResult, language: Language) -> Advance:
    segments = tuple(to_recording_clock(window, reading.segments))
    unread = tuple(
        (recording_time(window, start), recording_time(window, end, is_end=True))
        for start, end in reading.unread
    )
    return Advance(segments, language, window.end, unread)


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


Heard = Callable[[float], None]
"""Told how many seconds of audio were read."""


def ignored(_: float) -> None:
    """Nobody counts."""


class Recordings:
    """Reads media files; all doors and jobs share what bounds how many they open together."""

    def __init__(
        self,
        open_media: OpenMedia,
        heard: Heard = ignored,
        opening: anyio.CapacityLimiter | None = None,
    ) -> None:
        """`heard` is told of all audio that is read, in a thread."""
        self._open_media = open_media
        self._heard = heard
        self._opening = opening or anyio.CapacityLimiter(FILES_OPENED_AT_ONCE)

    def heard_by(self, heard: Heard) -> "Recordings":
        """The same for another door, whose audio is told to `heard`."""
        return Recordings(self._open_media, heard, self._opening)

    async def transcript(
        self,
        file: BinaryIO,
        transcriber: Transcriber,
        plan: Callable[[float | None], FileRequest],
        on_advance: OnAdvance,
        memory: Memory = NO_MEMORY,
        audio_track: int | None = None,
    ) -> Transcript:
        """Read a file to its end; `plan` is told the length that it claims, and says how.

        `audio_track` counts from 0 among the file's audio tracks; None is its default one.

        Raises `BadAudio`, and what `Transcriber.transcript` raises.
        """
        with ExitStack() as opened:
            audio = await anyio.to_thread.run_sync(
                lambda: opened.enter_context(self._open_media(file, audio_track=audio_track)),
                limiter=self._opening,
            )
            wish = plan(audio.duration_s)
            blocks = self._counted(audio.blocks())
            transcript = await transcriber.transcript(blocks, wish, on_advance, memory)
        if transcript.duration < SHORTEST_AUDIO_S:
            raise BadAudio(
                f"Audio file is too short. Minimum audio length is {SHORTEST_AUDIO_S} seconds.",
                param="file",
                code="audio_too_short",
            )
        return transcript

    def _counted(self, blocks: Iterator[Samples]) -> Iterator[Samples]:
        for block in blocks:
            self._heard(len(block) / SAMPLE_RATE)
            yield block

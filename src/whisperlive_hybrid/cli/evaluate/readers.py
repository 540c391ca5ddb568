"""The readers that are evaluated: the way of files and the live way of this server, in process."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

import anyio
import anyio.lowlevel
import anyio.to_thread
import numpy as np

from whisperlive_hybrid.backends.base import Capabilities
from whisperlive_hybrid.bench.recordings import LabelledRecording, TimedText
from whisperlive_hybrid.cli.batch.local import read_blocks
from whisperlive_hybrid.engine.client import Decoder
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.live.session import LiveOptions, LiveSession
from whisperlive_hybrid.media.limits import MediaLimits
from whisperlive_hybrid.protocol.live import SessionEvent, TextUpdate
from whisperlive_hybrid.transcribe import FileRequest, Transcriber, VoiceDetector
from whisperlive_hybrid.types import (
    SAMPLE_RATE,
    DecodeOptions,
    DecodeResult,
    Samples,
    Segment,
    Urgency,
    Window,
)

FRAME: Final = 4096
"""Samples that a live client sends at once, as WhisperLive's own client does."""


@dataclass(frozen=True, slots=True)
class Output:
    """What a reader made of a recording."""

    cues: tuple[TimedText, ...]
    """Its segments; their texts keep the leading space."""
    audio_s: float
    cpu_s: float
    """CPU time of the reader's whole process, user and system, while it read."""

    @property
    def text(self) -> str:
        """The running text."""
        return "".join(cue.text for cue in self.cues).strip()


class Reader(Protocol):
    """Reads one recording after another."""

    @property
    def name(self) -> str:
        """What tables call it."""

    async def read(self, recording: LabelledRecording) -> Output:
        """Read a recording to its end, in its language where that is known."""


class FileReader:
    """The way of an upload, with the options of a plain request."""

    name = "file"

    def __init__(self, engine: Engine, detector: VoiceDetector, limits: MediaLimits) -> None:
        self._transcriber = Transcriber(engine, detector)
        self._limits = limits

    async def read(self, recording: LabelledRecording) -> Output:
        """Read from the file's bytes on: decoding media is part of the work."""
        request = FileRequest(DecodeOptions(language=recording.language))
        began = time.process_time()
        blocks = read_blocks(recording.file, self._limits)
        transcript = await self._transcriber.transcribe(blocks, request)
        return _output(transcript.segments, transcript.duration, time.process_time() - began)


class LiveReader:
    """The way of a live stream: its completed text, with the options of a plain handshake."""

    name = "live"

    def __init__(
        self,
        engine: Engine,
        detector: VoiceDetector,
        limits: MediaLimits,
        live: LiveOptions,
        *,
        is_real_time: bool,
    ) -> None:
        """`live` is how a stream is read, but for its language.

        `is_real_time` feeds a second of audio a second.

        Else each frame comes when all readings of those before it are done, as on a machine that
        needs no time for them: the text is then the same on every machine.
        """
        self._engine = engine
        self._detector = detector
        self._limits = limits
        self._live = live
        self._is_real_time = is_real_time

    async def read(self, recording: LabelledRecording) -> Output:
        """Read from the samples on: clients of live streams send PCM."""
        samples = await anyio.to_thread.run_sync(_samples, recording.file, self._limits)
        completed: list[Segment] = []

        async def publish(event: SessionEvent) -> None:
            if isinstance(event, TextUpdate):
                completed.extend(event.completed)

        began = time.process_time()
        decoder = _WatchedDecoder(self._engine)
        async with anyio.create_task_group() as tasks:
            options = replace(self._live.options, language=recording.language)
            live = replace(self._live, options=options)
            session = LiveSession(decoder, self._detector, live, publish, tasks)
            tasks.start_soon(self._feed, session, samples, decoder)
            await session.run()
        duration = len(samples) / SAMPLE_RATE
        return _output(completed, duration, time.process_time() - began)

    async def _feed(
        self, session: LiveSession, samples: Samples, decoder: "_WatchedDecoder"
    ) -> None:
        began = anyio.current_time()
        for first in range(0, len(samples), FRAME):
            frame = samples[first : first + FRAME]
            if self._is_real_time:
                await anyio.sleep_until(began + (first + len(frame)) / SAMPLE_RATE)
            await session.receive(frame)
            if not self._is_real_time:
                await decoder.rest()
        await session.finish()


class _WatchedDecoder:
    """A decoder of which is known whether it has something to do."""

    _SETTLING: Final = 20
    """Turns of the event loop in which a session that got a result may request the next one."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._n_running = 0
        self._has_ended = anyio.Event()

    @property
    def capabilities(self) -> Capabilities:
        return self._decoder.capabilities

    async def decode(
        self,
        window: Window,
        options: DecodeOptions,
        urgency: Urgency = Urgency.SHORT_FILE,
        *,
        continues: bool = False,
    ) -> DecodeResult:
        self._n_running += 1
        try:
            return await self._decoder.decode(window, options, urgency, continues=continues)
        finally:
            self._n_running -= 1
            self._has_ended.set()
            self._has_ended = anyio.Event()

    async def rest(self) -> None:
        """Wait until nothing is being decoded, and nothing more is requested."""
        turns = 0
        while turns < self._SETTLING:
            if self._n_running:
                turns = 0
                await self._has_ended.wait()
            turns += 1
            await anyio.lowlevel.checkpoint()


def _output(segments: Sequence[Segment], audio_s: float, cpu_s: float) -> Output:
    cues = tuple(TimedText(segment.start, segment.end, segment.text) for segment in segments)
    return Output(cues, audio_s, cpu_s)


def _samples(file: Path, limits: MediaLimits) -> Samples:
    silence: Samples = np.zeros(0, np.float32)
    return np.concatenate([silence, *read_blocks(file, limits)])

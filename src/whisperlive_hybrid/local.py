"""Transcribing files of this machine without a server: what `whisperlive transcribe` does."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from whisperlive_hybrid.backends.base import Backend
from whisperlive_hybrid.backends.silero import SileroVad
from whisperlive_hybrid.config import Settings
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.errors import BadAudio, BadRequest, WhisperLiveError
from whisperlive_hybrid.media import AudioReader, MediaLimits, open_audio
from whisperlive_hybrid.protocol.openai.bodies import answer
from whisperlive_hybrid.protocol.openai.request import AudioRequest, Granularity, ResponseFormat
from whisperlive_hybrid.transcribe import Advance, FileRequest, Transcriber, Transcript
from whisperlive_hybrid.types import DecodeOptions, Samples, Urgency


class OutputFormat(Enum):
    """What a transcript is written as; the value is the suffix of the file."""

    TXT = "txt"
    SRT = "srt"
    VTT = "vtt"
    JSON = "json"


_BODIES = {
    OutputFormat.TXT: ResponseFormat.TEXT,
    OutputFormat.SRT: ResponseFormat.SRT,
    OutputFormat.VTT: ResponseFormat.VTT,
    OutputFormat.JSON: ResponseFormat.VERBOSE_JSON,
}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a file is: seconds of it that are read, of `total` if the container says."""

    file: Path
    done: float
    total: float | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file: a transcript, or the reason why there is none."""

    file: Path
    result: Transcript | WhisperLiveError


async def transcribe_files(
    backend: Backend,
    settings: Settings,
    files: Sequence[Path],
    options: DecodeOptions,
    on_progress: Callable[[Progress], None],
    on_outcome: Callable[[Outcome], None],
) -> None:
    """Transcribe `files` one after another; a file that fails does not stop the others."""
    limits = MediaLimits(max_duration_s=settings.max_audio_hours * 3600)
    async with Engine(backend, queue_limit=settings.queue_limit) as engine:
        transcriber = Transcriber(engine, SileroVad())
        transcriber.capabilities.check(options)
        request = FileRequest(options, urgency=Urgency.BULK)
        for file in files:
            reading = _Reading(file, limits, on_progress)
            result: Transcript | WhisperLiveError
            try:
                result = await transcriber.transcript(reading.blocks(), request, reading.advance)
            except WhisperLiveError as error:
                result = error
            on_outcome(Outcome(file, result))


@contextmanager
def opened(file: Path, limits: MediaLimits) -> Iterator[AudioReader]:
    """The audio of a file; opened by us and not by name, as every upload. Raises `BadAudio`."""
    try:
        media = file.open("rb")
    except OSError as error:
        raise BadAudio(f"Cannot be read: {error.strerror}.", param="file") from error
    with media, open_audio(media, limits) as audio:
        yield audio


class _Reading:
    """The blocks of one file, with news of how far it is read."""

    def __init__(
        self, file: Path, limits: MediaLimits, on_progress: Callable[[Progress], None]
    ) -> None:
        self._file = file
        self._limits = limits
        self._on_progress = on_progress
        self._total: float | None = None

    def blocks(self) -> Iterator[Samples]:
        """Open the file and decode it."""
        with opened(self._file, self._limits) as audio:
            self._total = audio.duration_s
            yield from audio.blocks()

    async def advance(self, news: Advance) -> None:
        """Tell how far the file is."""
        self._on_progress(Progress(self._file, news.done, self._total))


def written(transcript: Transcript, wanted: OutputFormat, options: DecodeOptions) -> str:
    """A transcript as the text of a file of that format."""
    granularities = {Granularity.SEGMENT} | ({Granularity.WORD} if options.words else set())
    request = AudioRequest(
        options=options,
        response_format=_BODIES[wanted],
        granularities=frozenset(granularities),
    )
    body = answer(request, transcript.segments, transcript.language.code, transcript.duration)
    return body if isinstance(body, str) else json.dumps(body, ensure_ascii=False, indent=2) + "\n"


def output_names(files: Sequence[Path]) -> dict[Path, str]:
    """A name for the output of each file: its stem, or its whole name where stems clash.

    Raises `BadRequest` where even the names are the same: one output would replace the other.
    """
    stems = Counter(file.stem for file in files)
    names = {file: file.stem if stems[file.stem] == 1 else file.name for file in files}
    if len(set(names.values())) < len(files):
        raise BadRequest("Two of the files have the same name; transcribe them separately.")
    return names

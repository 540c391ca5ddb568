"""Transcribing recordings of this machine without a server."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath

import anyio.to_thread

from whisperlive_hybrid.backends.base import Backend
from whisperlive_hybrid.backends.silero import SileroVad
from whisperlive_hybrid.cli.batch.formats import BatchRequest, Texts, render_all
from whisperlive_hybrid.cli.batch.inputs import BatchItem, FileSource, UrlSource
from whisperlive_hybrid.cli.batch.report import OnOutcome, OnProgress, Outcome, Progress
from whisperlive_hybrid.config import FileSettings
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.errors import BadAudio, BadRequest, WhisperLiveError
from whisperlive_hybrid.media.limits import MediaLimits
from whisperlive_hybrid.media.reader import open_audio
from whisperlive_hybrid.protocol.openai.request import measure_words
from whisperlive_hybrid.transcribe import FileRequest, MediaFiles, Transcriber
from whisperlive_hybrid.types import Samples, Urgency


async def transcribe_locally(
    backend: Backend,
    settings: FileSettings,
    items: Sequence[BatchItem],
    request: BatchRequest,
    on_progress: OnProgress,
    on_outcome: OnOutcome,
) -> None:
    """Read `items` one after another; one that fails does not stop the others.

    Raise `Unsupported` if the model cannot do what is requested.
    """
    limits = MediaLimits(settings.max_audio_hours * 3600)
    media = MediaFiles(partial(open_audio, limits=limits))
    async with Engine(backend, queue_limit=settings.queue_limit) as engine:
        reader = _Reader(media, Transcriber(engine, SileroVad()), request, on_progress)
        for item in items:
            on_outcome(await reader.outcome(item))


def read_blocks(file: Path, limits: MediaLimits) -> Iterator[Samples]:
    """Yield the audio of a file; opened by us and not by name, as every upload.

    Raises `BadAudio`, which names the file: it may be one of many.
    """
    source = FileSource(file, below=PurePosixPath(file.name), parent="")
    try:
        with source.open() as media, open_audio(media, limits) as audio:
            yield from audio.blocks()
    except BadAudio as error:
        raise BadAudio(f"{file}: {error.message}") from error


class _Reader:
    """Reads recordings as jobs of the server do."""

    def __init__(
        self,
        media: MediaFiles,
        transcriber: Transcriber,
        request: BatchRequest,
        on_progress: OnProgress,
    ) -> None:
        options, able = request.options, transcriber.capabilities
        if request.has_times:
            options = measure_words(options, is_able=able.word_times)
        if request.cue_style.highlight_words:
            options = replace(options, words=True)
        able.check(options)
        self._options = options
        self._media = media
        self._transcriber = transcriber
        self._request = request
        self._on_progress = on_progress

    async def outcome(self, item: BatchItem) -> Outcome:
        """One recording, and what became of it."""
        state = None
        try:
            state = item.source.read_state()
            return Outcome(item, state, await self._texts(item))
        except WhisperLiveError as error:
            return Outcome(item, state, error)

    async def _texts(self, item: BatchItem) -> Texts:
        if isinstance(item.source, UrlSource):
            raise BadRequest("Only a server fetches URLs.")
        with await anyio.to_thread.run_sync(item.source.open) as media:
            async with self._media.open(media, audio_track=self._request.audio_track) as recording:
                file_request = FileRequest(self._options, urgency=Urgency.BULK)
                async with self._transcriber.stream(
                    recording.blocks(), file_request
                ) as transcription:
                    async for update in transcription:
                        self._on_progress(Progress(item, update.done, recording.claimed_s))
        return render_all(transcription.transcript, self._request)

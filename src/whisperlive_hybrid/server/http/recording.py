"""Recordings of requests: read by a model, and given up when their client has gone."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Final

from starlette.requests import Request

from whisperlive_hybrid.access.booking import FileBooking
from whisperlive_hybrid.access.meter import Meter
from whisperlive_hybrid.progress import UploadBoard, UploadProgress
from whisperlive_hybrid.protocol.uploads import PROGRESS_ID, progress_id
from whisperlive_hybrid.recording import Recordings
from whisperlive_hybrid.server.http.identity import caller_of
from whisperlive_hybrid.server.http.upload import Upload, received, while_connected
from whisperlive_hybrid.speech.regions import VadOptions
from whisperlive_hybrid.transcribe import (
    Advance,
    FileRequest,
    OnAdvance,
    Transcriber,
    Transcript,
    ignore,
)
from whisperlive_hybrid.types import DecodeOptions, Urgency

SHORT_FILE_S: Final = 60.0
"""Up to this length a caller is taken to wait for the answer."""

SHORT_FILE_BYTES: Final = 512 * 1024
"""The same for files that do not claim a length: 60 s of Opus at a high rate."""


class Listener:
    """Turns the upload of a request into a transcript."""

    def __init__(self, recordings: Recordings, board: UploadBoard, meter: Meter) -> None:
        self._recordings = recordings
        self._board = board
        self._meter = meter

    @asynccontextmanager
    async def received(self, request: Request) -> AsyncIterator[Upload]:
        """Read the form of a request, and show its progress if the client has given it an id.

        Raises `Conflict` for an id that another upload has, and `BadRequest`.
        """
        with self.shown(request) as progress:
            async with received(request) as upload:
                yield replace(upload, progress=progress)

    @contextmanager
    def shown(self, request: Request) -> Iterator[UploadProgress | None]:
        """While inside, a request with X-Progress-Id can be watched."""
        written = request.headers.get(PROGRESS_ID)
        if written is None:
            yield None
            return
        with self._board.upload(caller_of(request), progress_id(written)) as progress:
            yield progress

    async def transcript(
        self,
        request: Request,
        upload: Upload,
        transcriber: Transcriber,
        options: DecodeOptions,
        vad: VadOptions,
        on_advance: OnAdvance = ignore,
        *,
        audio_track: int | None,
    ) -> Transcript:
        """Read an upload to its end, and book on its caller what was read, all of it or not.

        Raises `BadAudio`, what `Transcriber.transcript` raises, and `ClientDisconnect` when nobody
        waits for the answer any more.
        """
        transcriber.capabilities.check(options)  # before any decoding

        def plan(claimed_s: float | None) -> FileRequest:
            if upload.progress:
                upload.progress.expect(claimed_s)
            return FileRequest(options, vad, _urgency(claimed_s, upload.size))

        read = partial(
            self._recordings.transcript, upload.file, transcriber, plan, audio_track=audio_track
        )
        hear = _showing(upload.progress, on_advance) if upload.progress else on_advance
        booking = FileBooking(self._meter, caller_of(request).account)
        transcript = await while_connected(request, partial(read, _booked(booking, hear)))
        booking.read_to(transcript.duration)
        return transcript


def _showing(progress: UploadProgress, on_advance: OnAdvance) -> OnAdvance:
    async def hear(news: Advance) -> None:
        progress.advance(news.done, "".join(segment.text for segment in news.segments))
        await on_advance(news)

    return hear


def _booked(booking: FileBooking, on_advance: OnAdvance) -> OnAdvance:
    async def hear(news: Advance) -> None:
        booking.read_to(news.done)
        await on_advance(news)

    return hear


def _urgency(claimed_s: float | None, size: int) -> Urgency:
    """A caller waits for a short file; what a browser records does not say how long it is."""
    is_short = size <= SHORT_FILE_BYTES if claimed_s is None else claimed_s <= SHORT_FILE_S
    return Urgency.SHORT_FILE if is_short else Urgency.BULK

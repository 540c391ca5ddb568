"""The routes of OpenAI's audio API."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Final

import anyio.to_thread
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from whisperlive_hybrid.auth.quotas import FileBooking, Meter
from whisperlive_hybrid.model_pool import ModelPool
from whisperlive_hybrid.protocol.openai import response as bodies
from whisperlive_hybrid.protocol.openai.request import (
    TIMED,
    TRANSCRIPTION_FIELDS,
    TRANSLATION_FIELDS,
    AudioRequest,
    measure_words,
    transcription,
    translation,
)
from whisperlive_hybrid.protocol.openai.sse import EventWriter
from whisperlive_hybrid.server.http.access_log import model_headers
from whisperlive_hybrid.server.http.auth import caller_of
from whisperlive_hybrid.server.http.body_limits import request_id_of
from whisperlive_hybrid.server.http.forms import Upload, received, while_connected
from whisperlive_hybrid.server.http.openapi import form_of
from whisperlive_hybrid.server.http.paths import deployment_of, is_groq_path
from whisperlive_hybrid.server.http.schemas import TRANSCRIBED, TRANSLATED
from whisperlive_hybrid.server.http.sse import Emit, EventStream
from whisperlive_hybrid.server.http.upload_progress import (
    PROGRESS_ID,
    UploadBoard,
    UploadProgress,
    progress_id,
)
from whisperlive_hybrid.speech.regions import VadOptions
from whisperlive_hybrid.transcribe import (
    SHORTEST_AUDIO_S,
    Advance,
    FileRequest,
    OnAdvance,
    Recordings,
    Transcriber,
    Transcript,
    ignore,
)
from whisperlive_hybrid.types import DecodeOptions, Segment, Urgency

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


class AudioRoutes:
    """/v1/audio: what was said, as it was said or in English."""

    def __init__(self, pool: ModelPool, listener: Listener) -> None:
        self._pool = pool
        self._listener = listener

    def mount(self, app: FastAPI) -> None:
        """Add the routes."""
        app.post(
            "/v1/audio/transcriptions",
            openapi_extra=form_of(TRANSCRIPTION_FIELDS),
            responses=TRANSCRIBED,
        )(self.transcriptions)
        app.post(
            "/v1/audio/translations",
            openapi_extra=form_of(TRANSLATION_FIELDS),
            responses=TRANSLATED,
        )(self.translations)

    async def transcriptions(self, request: Request) -> Response:
        """What was said, in the language it was said in."""
        async with AsyncExitStack() as held:
            upload = await held.enter_async_context(self._listener.received(request))
            wish = transcription(_fields(request, upload), self._pool.names)
            if not wish.stream:
                return await self._answer(request, upload, wish)
            # The reply is made after this function has returned, from the file that it still holds.
            work = partial(self._stream, request, upload, wish)
            return EventStream(work, held.pop_all(), model_headers(request, wish.model))

    async def translations(self, request: Request) -> Response:
        """What was said, in English."""
        async with self._listener.received(request) as upload:
            wish = translation(_fields(request, upload), self._pool.names)
            return await self._answer(request, upload, wish)

    async def _stream(
        self, request: Request, upload: Upload, wish: AudioRequest, emit: Emit
    ) -> None:
        """Emit the events of a transcription while it is made."""
        writer = EventWriter(wish)
        waiting: list[Segment] = []

        async def advance(news: Advance) -> None:
            waiting.extend(news.segments)
            if news.done >= SHORTEST_AUDIO_S:  # less may still prove to be all, and is refused
                await emit(writer.delta(waiting))
                waiting.clear()

        async with self._pool.lease(wish.model, caller_of(request).account) as transcriber:
            transcript = await self._listener.transcript(
                request,
                upload,
                transcriber,
                wish.options,
                wish.vad,
                advance,
                audio_track=wish.audio_track,
            )
        await emit(writer.delta(waiting))
        language = transcript.language.code
        await emit(writer.done(transcript.segments, language, transcript.duration))

    async def _answer(self, request: Request, upload: Upload, wish: AudioRequest) -> Response:
        async with self._pool.lease(wish.model, caller_of(request).account) as transcriber:
            options, able = wish.options, transcriber.capabilities
            if wish.response_format in TIMED:
                options = measure_words(options, is_able=able.word_times)
            transcript = await self._listener.transcript(
                request,
                upload,
                transcriber,
                options,
                wish.vad,
                audio_track=wish.audio_track,
            )
        # In a thread: cutting the cues of a long recording takes some 100 ms an hour of speech.
        language, duration = transcript.language.code, transcript.duration
        body = await anyio.to_thread.run_sync(
            bodies.answer, wish, transcript.segments, language, duration, transcript.unread
        )
        headers = model_headers(request, wish.model)
        if isinstance(body, str):
            return PlainTextResponse(body, headers=headers)
        if is_groq_path(request):
            body |= bodies.groq_mark(request_id_of(request))
        return JSONResponse(body, headers=headers)


def _fields(request: Request, upload: Upload) -> Sequence[tuple[str, str]]:
    """The fields of a form; a deployment in the path stands for the model where none is named."""
    deployment = deployment_of(request)
    if deployment is None or any(
        name == "model" and value.strip() for name, value in upload.fields
    ):
        return upload.fields
    return (*upload.fields, ("model", deployment))

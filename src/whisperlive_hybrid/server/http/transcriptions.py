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

from whisperlive_hybrid.auth.quotas import Quotas, UsageMeter
from whisperlive_hybrid.model_pool import ModelPool
from whisperlive_hybrid.protocol.openai import response as bodies
from whisperlive_hybrid.protocol.openai.request import (
    TIMED_FORMATS,
    TRANSCRIPTION_FIELDS,
    TRANSLATION_FIELDS,
    AudioRequest,
    measure_words,
    parse_transcription,
    parse_translation,
)
from whisperlive_hybrid.protocol.openai.sse import EventWriter
from whisperlive_hybrid.server.http.access_log import model_headers
from whisperlive_hybrid.server.http.auth import caller_of
from whisperlive_hybrid.server.http.body_limits import request_id_of
from whisperlive_hybrid.server.http.disconnect import run_while_connected
from whisperlive_hybrid.server.http.forms import Upload, read_upload
from whisperlive_hybrid.server.http.openapi import form_schema
from whisperlive_hybrid.server.http.paths import deployment_of, is_groq_path
from whisperlive_hybrid.server.http.schemas import TRANSCRIPTION_RESPONSES, TRANSLATION_RESPONSES
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
    FileRequest,
    MediaFiles,
    Transcriber,
    Transcript,
    Transcription,
    WindowDone,
)
from whisperlive_hybrid.types import DecodeOptions, Segment, Urgency

SHORT_FILE_S: Final = 60.0
"""Up to this length a caller is taken to wait for the answer."""

SHORT_FILE_BYTES: Final = 512 * 1024
"""The same for files that do not claim a length: 60 s of Opus at a high rate."""


class UploadTranscription:
    """The transcription of an upload, which shows its progress and records its usage."""

    def __init__(
        self,
        transcription: Transcription,
        progress: UploadProgress | None,
        booking: UsageMeter,
    ) -> None:
        self._transcription = transcription
        self._progress = progress
        self._booking = booking

    @property
    def transcript(self) -> Transcript:
        """Everything decoded so far."""
        return self._transcription.transcript

    async def __aiter__(self) -> AsyncIterator[WindowDone]:
        """Yield what each window has brought."""
        async for update in self._transcription:
            self._booking.count_to(update.done)
            if self._progress:
                self._progress.advance(update.done, update.text)
            yield update
        self._booking.count_to(self.transcript.duration)


class UploadTranscriber:
    """Turns the upload of a request into a transcript."""

    def __init__(self, media: MediaFiles, board: UploadBoard, quotas: Quotas) -> None:
        self._media = media
        self._board = board
        self._quotas = quotas

    @asynccontextmanager
    async def received(self, request: Request) -> AsyncIterator[Upload]:
        """Read the form of a request, and show its progress if the client has given it an id.

        Raise `Conflict` for an id that another upload has, and `BadRequest`.
        """
        with self.show_progress(request) as progress:
            async with read_upload(request) as upload:
                yield replace(upload, progress=progress)

    @contextmanager
    def show_progress(self, request: Request) -> Iterator[UploadProgress | None]:
        """Show the progress of a request with X-Progress-Id while the context lasts."""
        written = request.headers.get(PROGRESS_ID)
        if written is None:
            yield None
            return
        with self._board.upload(caller_of(request), progress_id(written)) as progress:
            yield progress

    @asynccontextmanager
    async def stream(
        self,
        request: Request,
        upload: Upload,
        transcriber: Transcriber,
        options: DecodeOptions,
        vad: VadOptions,
        *,
        audio_track: int | None,
    ) -> AsyncIterator[UploadTranscription]:
        """Decode an upload while the caller iterates; what was decoded counts as its usage.

        Raise `BadAudio`, and what `Transcriber.stream` raises.
        """
        transcriber.capabilities.check(options)  # before any decoding
        async with self._media.open(upload.file, audio_track=audio_track) as recording:
            if upload.progress:
                upload.progress.expect(recording.claimed_s)
            urgency = _urgency(recording.claimed_s, upload.size)
            request_ = FileRequest(options, vad, urgency)
            booking = UsageMeter(self._quotas, caller_of(request).account)
            async with transcriber.stream(recording.blocks(), request_) as transcription:
                yield UploadTranscription(transcription, upload.progress, booking)

    async def transcribe(
        self,
        request: Request,
        upload: Upload,
        transcriber: Transcriber,
        options: DecodeOptions,
        vad: VadOptions,
        *,
        audio_track: int | None,
    ) -> Transcript:
        """Decode an upload to its end.

        Raise what `stream` raises, and `ClientDisconnect` when the client no longer waits.
        """

        async def work() -> Transcript:
            async with self.stream(
                request, upload, transcriber, options, vad, audio_track=audio_track
            ) as transcription:
                async for _ in transcription:
                    pass
            return transcription.transcript

        return await run_while_connected(request, work)


def _urgency(claimed_s: float | None, size: int) -> Urgency:
    """A caller waits for a short file; what a browser records does not say how long it is."""
    is_short = size <= SHORT_FILE_BYTES if claimed_s is None else claimed_s <= SHORT_FILE_S
    return Urgency.SHORT_FILE if is_short else Urgency.BULK


class AudioRoutes:
    """/v1/audio: what was said, as it was said or in English."""

    def __init__(self, pool: ModelPool, uploads: UploadTranscriber) -> None:
        self._pool = pool
        self._uploads = uploads

    def mount(self, app: FastAPI) -> None:
        """Add the routes."""
        app.post(
            "/v1/audio/transcriptions",
            openapi_extra=form_schema(TRANSCRIPTION_FIELDS),
            responses=TRANSCRIPTION_RESPONSES,
        )(self.transcriptions)
        app.post(
            "/v1/audio/translations",
            openapi_extra=form_schema(TRANSLATION_FIELDS),
            responses=TRANSLATION_RESPONSES,
        )(self.translations)

    async def transcriptions(self, request: Request) -> Response:
        """What was said, in the language it was said in."""
        async with AsyncExitStack() as held:
            upload = await held.enter_async_context(self._uploads.received(request))
            params = parse_transcription(_fields(request, upload), self._pool.names)
            if not params.stream:
                return await self._answer(request, upload, params)
            # The reply is made after this function has returned, from the file that it still holds.
            work = partial(self._stream, request, upload, params)
            return EventStream(work, held.pop_all(), model_headers(request, params.model))

    async def translations(self, request: Request) -> Response:
        """What was said, in English."""
        async with self._uploads.received(request) as upload:
            params = parse_translation(_fields(request, upload), self._pool.names)
            return await self._answer(request, upload, params)

    async def _stream(
        self, request: Request, upload: Upload, params: AudioRequest, emit: Emit
    ) -> None:
        """Emit the events of a transcription while it is made."""
        writer = EventWriter(params)
        waiting: list[Segment] = []

        async def work(transcriber: Transcriber) -> Transcript:
            async with self._uploads.stream(
                request,
                upload,
                transcriber,
                params.options,
                params.vad,
                audio_track=params.audio_track,
            ) as transcription:
                async for update in transcription:
                    waiting.extend(update.segments)
                    if update.done >= SHORTEST_AUDIO_S:  # less may still prove to be too short
                        await emit(writer.write_delta(waiting))
                        waiting.clear()
            return transcription.transcript

        async with self._pool.lease(params.model, caller_of(request).account) as transcriber:
            transcript = await run_while_connected(request, partial(work, transcriber))
        await emit(writer.write_delta(waiting))
        language = transcript.language.code
        await emit(writer.write_done(transcript.segments, language, transcript.duration))

    async def _answer(self, request: Request, upload: Upload, params: AudioRequest) -> Response:
        async with self._pool.lease(params.model, caller_of(request).account) as transcriber:
            options, able = params.options, transcriber.capabilities
            if params.response_format in TIMED_FORMATS:
                options = measure_words(options, is_able=able.word_times)
            transcript = await self._uploads.transcribe(
                request,
                upload,
                transcriber,
                options,
                params.vad,
                audio_track=params.audio_track,
            )
        # In a thread: cutting the cues of a long recording takes some 100 ms an hour of speech.
        language, duration = transcript.language.code, transcript.duration
        body = await anyio.to_thread.run_sync(
            bodies.render_transcript,
            params,
            transcript.segments,
            language,
            duration,
            transcript.unread,
        )
        headers = model_headers(request, params.model)
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

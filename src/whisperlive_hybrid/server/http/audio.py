"""The routes of OpenAI's audio API."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial

import anyio.to_thread
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from whisperlive_hybrid.model_pool import ModelPool
from whisperlive_hybrid.protocol.openai import bodies
from whisperlive_hybrid.protocol.openai.events import EventWriter
from whisperlive_hybrid.protocol.openai.request import (
    TIMED,
    TRANSCRIPTION_FIELDS,
    TRANSLATION_FIELDS,
    AudioRequest,
    measure_words,
    transcription,
    translation,
)
from whisperlive_hybrid.recording import SHORTEST_AUDIO_S
from whisperlive_hybrid.server.http.access import model_headers
from whisperlive_hybrid.server.http.described import form_of
from whisperlive_hybrid.server.http.guard import request_id_of
from whisperlive_hybrid.server.http.identity import caller_of
from whisperlive_hybrid.server.http.paths import deployment_of, is_groq_path
from whisperlive_hybrid.server.http.recording import Listener
from whisperlive_hybrid.server.http.schemas import TRANSCRIBED, TRANSLATED
from whisperlive_hybrid.server.http.streaming import Emit, EventStream
from whisperlive_hybrid.server.http.upload import Upload
from whisperlive_hybrid.transcribe import Advance
from whisperlive_hybrid.types import Segment


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

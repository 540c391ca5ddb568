"""The HTTP door: files in, transcripts out, in the manner of the OpenAI audio API."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import BinaryIO, Final, Protocol

import anyio
import anyio.to_thread
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from whisperlive_hybrid import __version__
from whisperlive_hybrid.config import Settings
from whisperlive_hybrid.errors import BadAudio, WhisperLiveError
from whisperlive_hybrid.protocol import legacy
from whisperlive_hybrid.protocol.form import FieldNames, unknown_model
from whisperlive_hybrid.protocol.openai import bodies
from whisperlive_hybrid.protocol.openai.request import (
    MODEL_ALIASES,
    TRANSCRIPTION_FIELDS,
    TRANSLATION_FIELDS,
    AudioRequest,
    transcription,
    translation,
)
from whisperlive_hybrid.server.guard import BodyLimit, Stamp
from whisperlive_hybrid.server.refusals import LEGACY_PATH, hung_up, refused, unroutable
from whisperlive_hybrid.server.upload import Upload, received, while_connected
from whisperlive_hybrid.speech.regions import VadOptions
from whisperlive_hybrid.transcribe import FileRequest, Transcriber, Transcript
from whisperlive_hybrid.types import DecodeOptions, Samples, Urgency

SERVICE: Final = "WhisperLive Hybrid Server"

SHORTEST_AUDIO_S: Final = 0.1
"""OpenAI refuses less."""

SHORT_FILE_S: Final = 60.0
"""Up to this length a caller is taken to wait for the answer."""

SHORT_FILE_BYTES: Final = 512 * 1024
"""The same for files that do not claim a length: 60 s of Opus at a high rate."""

FILES_OPENED_AT_ONCE: Final = 2
"""Opening costs the most memory: a hostile index takes up to 850 MB for some seconds (measured)."""


class AudioReader(Protocol):
    """An opened recording."""

    @property
    def duration_s(self) -> float | None:
        """The length that the file claims, before anything is decoded."""

    def blocks(self) -> Iterator[Samples]:
        """(n,) float32 arrays, mono, 16 kHz."""


OpenMedia = Callable[[BinaryIO], AbstractContextManager[AudioReader]]
"""Opens an upload; called and entered in a thread. Raises `BadAudio` for what is no audio."""


def build_http_app(
    transcriber: Transcriber,
    settings: Settings,
    *,
    live_clients: Callable[[], int],
    open_media: OpenMedia,
) -> FastAPI:
    """The application for an ASGI server; `live_clients` counts the streams of the live door."""
    app = FastAPI(
        title=SERVICE,
        version=__version__,
        docs_url=None,  # these pages load their scripts from the internet
        redoc_url=None,
        redirect_slashes=False,
        # Outermost first. The second answers defects inside the stamp; Starlette's own, which
        # wraps all of these, then only passes the exception on to the server's log.
        middleware=[
            Middleware(Stamp),
            Middleware(ServerErrorMiddleware, handler=refused),
            Middleware(BodyLimit, limit=settings.max_upload_bytes),
        ],
        exception_handlers={
            WhisperLiveError: refused,
            HTTPException: unroutable,
            ClientDisconnect: hung_up,
        },
    )
    _Door(transcriber, open_media, live_clients).mount(app)
    return app


class _Door:
    """The routes, around one transcriber."""

    def __init__(
        self, transcriber: Transcriber, open_media: OpenMedia, live_clients: Callable[[], int]
    ) -> None:
        self._transcriber = transcriber
        self._open_media = open_media
        self._live_clients = live_clients
        self._opening = anyio.CapacityLimiter(FILES_OPENED_AT_ONCE)
        self._model = transcriber.engine.capabilities.model
        self._since = int(time.time())

    def mount(self, app: FastAPI) -> None:
        """Add every route; those with a form are described by the table that reads it."""
        app.get("/")(self.index)
        app.get("/health")(self.health)
        app.get("/v1/models")(self.models)
        app.get("/v1/models/{model:path}")(self.model)
        for path, endpoint, names in (
            ("/v1/audio/transcriptions", self.transcriptions, TRANSCRIPTION_FIELDS),
            ("/v1/audio/translations", self.translations, TRANSLATION_FIELDS),
            (LEGACY_PATH, self.transcribe, legacy.TRANSCRIBE_FIELDS),
        ):
            app.post(path, openapi_extra=_described(names))(endpoint)

    async def index(self) -> bodies.Json:
        """What there is to ask for."""
        return {
            "service": SERVICE,
            "version": __version__,
            "endpoints": [
                "GET /health",
                "GET /openapi.json",
                "GET /v1/models",
                "POST /v1/audio/transcriptions",
                "POST /v1/audio/translations",
                f"POST {LEGACY_PATH}",
            ],
        }

    async def health(self) -> bodies.Json:
        """Whether the server works, with which model, and how busy it is."""
        engine = self._transcriber.engine
        able = engine.capabilities
        return {
            "status": "healthy",
            "service": SERVICE,
            "version": __version__,
            "model": {"name": able.model, "note": able.note},
            "backend": able.backend,
            "device": able.device,
            "compute_type": able.compute_type,
            "queue_depth": engine.queue_depth,
            "live_clients": self._live_clients(),
        }

    async def models(self) -> bodies.Json:
        """The names that requests may use as `model`."""
        return bodies.model_list(self._model, self._since)

    async def model(self, model: str) -> bodies.Json:
        """One of those names; it may hold slashes, as on Hugging Face."""
        if model not in (self._model, *MODEL_ALIASES):
            raise unknown_model(model, self._model)
        return bodies.model_card(model, self._since)

    async def transcriptions(self, request: Request) -> Response:
        """What was said, in the language it was said in."""
        async with received(request) as upload:
            wish = transcription(upload.fields, self._model)
            return await self._answer(request, upload, wish)

    async def translations(self, request: Request) -> Response:
        """What was said, in English."""
        async with received(request) as upload:
            wish = translation(upload.fields, self._model)
            return await self._answer(request, upload, wish)

    async def transcribe(self, request: Request) -> Response:
        """The older request for a file."""
        async with received(request) as upload:
            options = legacy.options(upload.fields, self._model)
            transcript = await self._transcript(request, upload, options, VadOptions())
        recording = legacy.Recording(
            transcript.segments,
            transcript.language,
            transcript.duration,
            transcript.speech,
            upload.filename,
        )
        return JSONResponse(legacy.answer(recording, options))

    async def _answer(self, request: Request, upload: Upload, wish: AudioRequest) -> Response:
        transcript = await self._transcript(request, upload, wish.options, wish.vad)
        body = bodies.answer(
            wish, transcript.segments, transcript.language.code, transcript.duration
        )
        return PlainTextResponse(body) if isinstance(body, str) else JSONResponse(body)

    async def _transcript(
        self,
        request: Request,
        upload: Upload,
        options: DecodeOptions,
        vad: VadOptions,
    ) -> Transcript:
        self._transcriber.engine.check(options)  # before any decoding
        return await while_connected(request, lambda: self._read(upload, options, vad))

    async def _read(self, upload: Upload, options: DecodeOptions, vad: VadOptions) -> Transcript:
        with ExitStack() as opened:
            audio = await anyio.to_thread.run_sync(
                lambda: opened.enter_context(self._open_media(upload.file)),
                limiter=self._opening,
            )
            wish = FileRequest(options, vad, _urgency(audio.duration_s, upload.size))
            transcript = await self._transcriber.transcript(audio.blocks(), wish)
        if transcript.duration < SHORTEST_AUDIO_S:
            raise BadAudio(
                f"Audio file is too short. Minimum audio length is {SHORTEST_AUDIO_S} seconds.",
                param="file",
                code="audio_too_short",
            )
        return transcript


def _urgency(claimed_s: float | None, size: int) -> Urgency:
    """A caller waits for a short file; what a browser records does not say how long it is."""
    is_short = size <= SHORT_FILE_BYTES if claimed_s is None else claimed_s <= SHORT_FILE_S
    return Urgency.SHORT_FILE if is_short else Urgency.BULK


def _described(names: FieldNames) -> dict[str, object]:
    """The OpenAPI description of a form."""
    properties: dict[str, object] = {"file": {"type": "string", "format": "binary"}}
    properties |= {name: {"type": "string"} for name in names.single}
    properties |= {
        f"{name}[]": {"type": "array", "items": {"type": "string"}} for name in names.lists
    }
    schema = {"type": "object", "required": ["file"], "properties": properties}
    return {
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
    }

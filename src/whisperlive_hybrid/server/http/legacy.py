"""The older routes: /transcribe, as deployments before this server documented it."""

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from whisperlive_hybrid.model_pool import ModelPool
from whisperlive_hybrid.protocol import legacy
from whisperlive_hybrid.server.http.described import form_of
from whisperlive_hybrid.server.http.recording import Listener
from whisperlive_hybrid.server.http.refusals import LEGACY_PATH
from whisperlive_hybrid.server.http.upload import received
from whisperlive_hybrid.speech.regions import VadOptions


class LegacyRoutes:
    """/transcribe: a file and few options in, segments out."""

    def __init__(self, pool: ModelPool, listener: Listener) -> None:
        self._pool = pool
        self._listener = listener

    def mount(self, app: FastAPI) -> None:
        """Add the routes."""
        app.post(LEGACY_PATH, openapi_extra=form_of(legacy.TRANSCRIBE_FIELDS))(self.transcribe)

    async def transcribe(self, request: Request) -> Response:
        """The older request for a file."""
        async with received(request) as upload:
            wish = legacy.transcribe(upload.fields, self._pool.names)
            async with self._pool.lease(wish.model) as transcriber:
                transcript = await self._listener.transcript(
                    request, upload, transcriber, wish.options, VadOptions()
                )
        recording = legacy.Recording(
            transcript.segments,
            transcript.language,
            transcript.duration,
            transcript.speech,
            upload.filename,
        )
        return JSONResponse(legacy.answer(recording, wish.options))

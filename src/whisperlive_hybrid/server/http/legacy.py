"""The older routes: /transcribe and below, as deployments before this server documented them."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import BinaryIO

import anyio.to_thread
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from whisperlive_hybrid.fetch.fetcher import UrlFetcher
from whisperlive_hybrid.model_pool import ModelPool
from whisperlive_hybrid.protocol import legacy
from whisperlive_hybrid.server.http.access_log import model_headers
from whisperlive_hybrid.server.http.auth import caller_of
from whisperlive_hybrid.server.http.disconnect import run_while_connected
from whisperlive_hybrid.server.http.error_handlers import LEGACY_PATH
from whisperlive_hybrid.server.http.forms import Upload, read_fields
from whisperlive_hybrid.server.http.openapi import fields_schema, form_schema
from whisperlive_hybrid.server.http.schemas import LEGACY_ERROR_RESPONSES
from whisperlive_hybrid.server.http.transcriptions import UploadTranscriber
from whisperlive_hybrid.speech.regions import VadOptions
from whisperlive_hybrid.system import translate_disk_full


@asynccontextmanager
async def download_upload(request: Request, fetcher: UrlFetcher, url: str) -> AsyncIterator[Upload]:
    """Download the recording as if it had been uploaded, into a file without a name.

    To be entered when the body has been read. Raises what `UrlFetcher.download` raises, and
    `ClientDisconnect` if the client hangs up before the end, and `OutOfSpace` for a full disk.
    """
    file: BinaryIO
    # Around the file, whose close tries again to write what found no room.
    with translate_disk_full(), await anyio.to_thread.run_sync(tempfile.TemporaryFile) as file:
        found = await run_while_connected(request, lambda: fetcher.download(url, file))
        file.seek(0)
        yield Upload((), file, found.filename, found.size)


class LegacyRoutes:
    """/transcribe: a file, or the URL of one, and few options in, segments out."""

    def __init__(self, pool: ModelPool, uploads: UploadTranscriber, fetcher: UrlFetcher) -> None:
        self._pool = pool
        self._uploads = uploads
        self._fetcher = fetcher

    def mount(self, app: FastAPI) -> None:
        """Add the routes."""
        app.post(
            LEGACY_PATH,
            openapi_extra=form_schema(legacy.TRANSCRIBE_FIELDS),
            responses=LEGACY_ERROR_RESPONSES,
        )(self.transcribe)
        app.post(
            f"{LEGACY_PATH}/url",
            openapi_extra=fields_schema(legacy.URL_FIELDS, "url"),
            responses=LEGACY_ERROR_RESPONSES,
        )(self.transcribe_url)

    async def transcribe(self, request: Request) -> Response:
        """The older request for a file."""
        async with self._uploads.received(request) as upload:
            params = legacy.parse_request(upload.fields, self._pool.names)
            return await self._answer(request, upload, params)

    async def transcribe_url(self, request: Request) -> Response:
        """The same for a file that lies elsewhere."""
        with self._uploads.show_progress(request) as progress:
            fields = await read_fields(request, legacy.URL_FIELDS)
            url, params = legacy.parse_url_request(fields, self._pool.names)
            async with download_upload(request, self._fetcher, url) as upload:
                return await self._answer(request, replace(upload, progress=progress), params)

    async def _answer(
        self, request: Request, upload: Upload, params: legacy.LegacyRequest
    ) -> Response:
        async with self._pool.lease(params.model, caller_of(request).account) as transcriber:
            transcript = await self._uploads.transcribe(
                request,
                upload,
                transcriber,
                params.options,
                VadOptions(),
                audio_track=params.audio_track,
            )
        recording = legacy.LegacyTranscript(
            transcript.segments,
            transcript.language,
            transcript.duration,
            transcript.speech,
            upload.filename,
        )
        body = legacy.render_transcript(recording, params.options, params.model)
        return JSONResponse(body, headers=model_headers(request, params.model))

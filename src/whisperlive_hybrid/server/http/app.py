"""The HTTP door: files in, transcripts out, in the manner of the OpenAI audio API."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import anyio
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from whisperlive_hybrid import __version__
from whisperlive_hybrid.auth.authenticator import Authenticator
from whisperlive_hybrid.auth.origins import OriginPolicy
from whisperlive_hybrid.engine.client import EngineClient
from whisperlive_hybrid.errors import WhisperLiveError
from whisperlive_hybrid.fetch.fetcher import UrlFetcher
from whisperlive_hybrid.model_pool import ModelPool
from whisperlive_hybrid.server.http.access_log import AccessLogMiddleware
from whisperlive_hybrid.server.http.auth import (
    AuthMiddleware,
    OriginMiddleware,
    RateLimitMiddleware,
    cors_middleware,
)
from whisperlive_hybrid.server.http.body_limits import (
    BodySizeMiddleware,
    BodyTimeout,
    InFlightMiddleware,
    RequestIdMiddleware,
    UploadSlotsMiddleware,
)
from whisperlive_hybrid.server.http.error_handlers import (
    handle_disconnect,
    handle_error,
    handle_http_exception,
    handle_validation_error,
)
from whisperlive_hybrid.server.http.info import SERVICE, InfoRoutes
from whisperlive_hybrid.server.http.jobs import JobRoutes
from whisperlive_hybrid.server.http.legacy import LegacyRoutes
from whisperlive_hybrid.server.http.not_found import NotFoundApp
from whisperlive_hybrid.server.http.paths import CanonicalPathMiddleware
from whisperlive_hybrid.server.http.progress_events import EventSources, ServiceFor
from whisperlive_hybrid.server.http.schemas import ERROR_RESPONSES
from whisperlive_hybrid.server.http.status import Operation, Sight, StatusRoutes, readiness_of
from whisperlive_hybrid.server.http.transcriptions import AudioRoutes, UploadTranscriber
from whisperlive_hybrid.server.http.upload_progress import UploadBoard
from whisperlive_hybrid.server.http.usage import UsageRoutes
from whisperlive_hybrid.server.http.web_page import PageOptions, WebPage
from whisperlive_hybrid.storage.usage_recorder import Accounts
from whisperlive_hybrid.transcribe import MediaFiles


class HeadAsGet:
    """Has HEAD answered as GET is, status and headers, and leaves the body out.

    A stream ends with its head, and what would write it is cancelled.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; what the inside leaves in its scope is there afterwards."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        inside = {**scope, "method": "GET"}
        try:
            with anyio.CancelScope() as writing:
                await self._app(inside, receive, _without_body(send, writing))
        finally:
            scope.update({**inside, "method": "HEAD"})


def _without_body(send: Send, writing: anyio.CancelScope) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
        elif not writing.cancel_called:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            if message.get("more_body", False):
                writing.cancel()

    return sent


class LiveView(Protocol):
    """The state of the live server that HTTP routes show."""

    @property
    def n_clients(self) -> int:
        """Streams that are open."""

    @property
    def port(self) -> int:
        """The port where it listens, once it does."""


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """Limits and options of the HTTP server."""

    origins: OriginPolicy
    page: PageOptions
    data_dir: Path
    min_free_bytes: int
    """On its disk, for `/ready`."""
    min_bytes_per_s: float
    upload_s: float
    max_uploads: int
    max_clients: int
    """Live streams, for `/v1/server`."""
    has_metrics: bool


@dataclass(frozen=True, slots=True)
class HttpMeans:
    """What the HTTP server works with."""

    engine: EngineClient
    pool: ModelPool
    options: HttpOptions
    live: LiveView
    media: MediaFiles
    fetcher: UrlFetcher
    service_for: ServiceFor
    accounts: Accounts
    authenticator: Authenticator
    operation: Operation


def build_http_app(means: HttpMeans) -> FastAPI:
    """Return the ASGI application."""
    options, operation = means.options, means.operation
    engine, pool, accounts = means.engine, means.pool, means.accounts
    timeout = partial(BodyTimeout, options.min_bytes_per_s, options.upload_s)
    app = FastAPI(
        title=SERVICE,
        version=__version__,
        docs_url=None,  # these pages load their scripts from the internet
        redoc_url=None,
        redirect_slashes=False,
        responses=ERROR_RESPONSES,  # on every route, so that FastAPI documents no 422 of its own
        # Its own spans would carry the query of every URL, and some clients have a token there.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        # Outermost first. ServerErrorMiddleware answers defects inside the stamp; Starlette's own,
        # which wraps all of these, then only passes the exception on to the server's log.
        middleware=[
            Middleware(CanonicalPathMiddleware),  # before everything that reads the path
            Middleware(RequestIdMiddleware),
            Middleware(
                AccessLogMiddleware,
                metrics=operation.metrics.server,
                tracer=operation.tracer,
                authenticator=means.authenticator,
            ),
            Middleware(HeadAsGet),
            *cors_middleware(
                options.origins
            ),  # around all that refuses, so that pages can read why
            Middleware(ServerErrorMiddleware, handler=handle_error),
            Middleware(OriginMiddleware, pages=options.origins),
            Middleware(AuthMiddleware, authenticator=means.authenticator),
            Middleware(RateLimitMiddleware, quotas=accounts.quotas),
            Middleware(InFlightMiddleware, work=operation.work),
            Middleware(UploadSlotsMiddleware, limit=options.max_uploads, timeout=timeout),
            Middleware(BodySizeMiddleware, limit=options.page.max_upload_bytes),
        ],
        exception_handlers={
            WhisperLiveError: handle_error,
            HTTPException: handle_http_exception,
            RequestValidationError: handle_validation_error,
            ClientDisconnect: handle_disconnect,
        },
    )
    uploads = UploadBoard()
    transcriber = UploadTranscriber(means.media, uploads, accounts.quotas)
    page = WebPage(options.page, engine.capabilities, pool.names, lambda: means.live.port)
    page.mount(app)
    InfoRoutes(engine, pool, lambda: means.live.n_clients, page).mount(app)
    sight = Sight(engine, pool, operation, lambda: means.live.n_clients, options.max_clients)
    StatusRoutes(
        sight, readiness_of(engine, operation.work, options.data_dir, options.min_free_bytes)
    ).mount(app, has_metrics=options.has_metrics)
    UsageRoutes(accounts).mount(app)
    AudioRoutes(pool, transcriber).mount(app)
    LegacyRoutes(pool, transcriber, means.fetcher).mount(app)
    JobRoutes(
        means.service_for,
        EventSources(means.service_for, uploads),
        pool.names,
        max_files=options.page.max_files,
    ).mount(app)
    app.router.default = NotFoundApp(
        app.router.default, options.page.live_url, lambda: means.live.port
    )
    return app

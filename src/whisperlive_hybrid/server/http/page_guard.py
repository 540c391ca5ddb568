"""Web pages at the file door: those that may change nothing, and those that may read all."""

from collections.abc import Sequence
from typing import Final

import structlog
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from whisperlive_hybrid.access.pages import Pages
from whisperlive_hybrid.errors import Forbidden
from whisperlive_hybrid.protocol.faults import fault_of
from whisperlive_hybrid.protocol.openai import bodies
from whisperlive_hybrid.server.http.access import note_failure
from whisperlive_hybrid.server.http.refusals import refused

METHODS: Final = ("GET", "HEAD", "POST", "DELETE")
"""Of our routes."""

_READING: Final = ("GET", "HEAD", "OPTIONS")
"""Methods by which nothing changes: a page may send them, and cannot read the answer."""

_EXPOSED: Final = (
    "location",
    "openai-processing-ms",
    "retry-after",
    "x-ratelimit-limit-audio-seconds",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-audio-seconds",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-audio-seconds",
    "x-ratelimit-reset-requests",
    "x-request-id",
    "x-should-retry",
    "x-whisperlive-model",
)
"""Headers of answers that scripts may read."""

log = structlog.get_logger(__name__)


def cross_origin(pages: Pages) -> Sequence[Middleware]:
    """What tells browsers that the listed pages may read; nothing where none is listed."""
    if not pages.origins:
        return ()
    reading = Middleware(
        CORSMiddleware,
        allow_origins=pages.origins,
        allow_methods=METHODS,
        allow_headers=("*",),  # keys, progress, and whatever an SDK tells about itself
        allow_private_network=True,
        expose_headers=_EXPOSED,
    )
    return (reading,)


class PageGuard:
    """Refuses what browsers send for pages that are not welcome: WebSockets and all changes.

    A multipart form may be sent to any server without asking it first (Fetch, "CORS-safelisted
    request-header"), so CORS alone keeps nobody from starting a job.
    """

    def __init__(self, app: ASGIApp, pages: Pages) -> None:
        self._app = app
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 403."""
        try:
            self._check(scope)
        except Forbidden as error:
            log.info("page refused", path=scope["path"], reason=error.message)
            await _refuse(error, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        if scope["type"] not in {"http", "websocket"}:
            return
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if scope["type"] == "http" and scope["method"] in _READING:
            self._pages.check_host(hosts)
        else:
            self._pages.check(headers.getlist("origin"), hosts)


async def _refuse(error: Forbidden, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        reply = await refused(Request(scope), error)
        await reply(scope, receive, send)
    else:
        note_failure(scope, error)
        body = JSONResponse(bodies.error_body(error), fault_of(error).status)
        await WebSocket(scope, receive, send).send_denial_response(body)

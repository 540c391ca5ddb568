"""Who asks: settled once for every request, before anything is done for it."""

import re
from collections.abc import Sequence
from typing import Final

import anyio
import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from whisperlive_hybrid.auth.authenticator import Authenticator
from whisperlive_hybrid.auth.caller import Caller
from whisperlive_hybrid.auth.origins import OriginPolicy
from whisperlive_hybrid.auth.quotas import Quotas, QuotaStatus
from whisperlive_hybrid.auth.rate_limits import RateLimitStatus, format_duration
from whisperlive_hybrid.errors import Forbidden, LimitReached, Unauthenticated
from whisperlive_hybrid.protocol.errors import map_error
from whisperlive_hybrid.protocol.openai import response as bodies
from whisperlive_hybrid.server.http.access_log import record_failure
from whisperlive_hybrid.server.http.error_handlers import error_response, refused
from whisperlive_hybrid.server.net import credentials
from whisperlive_hybrid.server.net.credentials import read_peer

PUBLIC_PATHS: Final = ("/", "/health", "/ready", "/openapi.json", "/test_form.html")
"""What a load balancer, and whoever has no key yet, may see."""

PUBLIC_PREFIX: Final = "/web/"
"""The files of the page, into which a key is typed."""

AZURE_KEY_HEADER: Final = "api-key"
"""The header in which clients of Azure show a key."""

_EVENTS: Final = re.compile(r"/v1/jobs/[^/]+/events")
"""Read by EventSource, which can set no header."""

_CALLER: Final = "caller"


class AuthMiddleware:
    """Puts the `Caller` of a request, or of a WebSocket, into its state; turns away who is none."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator) -> None:
        self._app = app
        self._authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its caller; nothing of the body of another is read."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        try:
            caller = self._caller(HTTPConnection(scope))
        except Unauthenticated as error:
            record_failure(scope, error)
            await anyio.sleep(error.answer_after_s)
            await error_response(scope["path"], error)(scope, receive, send)
            return
        scope.setdefault("state", {})[_CALLER] = caller
        await self._app(scope, receive, send)

    def _caller(self, connection: HTTPConnection) -> Caller:
        whence = read_peer(connection.scope)
        if _is_open(connection.scope):
            return self._authenticator.anonymous(*whence)
        return self._authenticator.authenticate(*whence, _shown(connection))


def caller_of(connection: HTTPConnection) -> Caller:
    """Who asks, for a route."""
    caller: Caller = connection.scope["state"][_CALLER]
    return caller


def _is_open(scope: Scope) -> bool:
    path: str = scope["path"]
    is_page = path in PUBLIC_PATHS or path.startswith(PUBLIC_PREFIX)
    return scope["type"] == "http" and is_page


def _shown(connection: HTTPConnection) -> list[str]:
    scope = connection.scope
    headers = connection.headers
    tokens = [
        *credentials.read_bearer_token(headers.get("authorization")),
        *headers.getlist(AZURE_KEY_HEADER),
    ]
    if scope["type"] == "websocket":
        tokens += credentials.read_subprotocol_tokens(scope["subprotocols"])
    elif not (scope["method"] == "GET" and _EVENTS.fullmatch(scope["path"])):
        return tokens  # a URL is written into the logs of proxies, and into histories
    return tokens + credentials.read_query_token(scope["query_string"].decode("latin-1"))


HeaderValues = dict[str, str]


def rate_limit_headers(allowances: QuotaStatus) -> HeaderValues:
    """The `x-ratelimit-` headers of whatever is bounded; seconds of audio are a name of ours."""
    return _headers("requests", allowances.requests) | _headers("audio-seconds", allowances.audio_s)


def _headers(name: str, allowance: RateLimitStatus | None) -> HeaderValues:
    if allowance is None:
        return {}
    return {
        f"x-ratelimit-limit-{name}": f"{allowance.limit:.10g}",
        f"x-ratelimit-remaining-{name}": str(int(allowance.remaining)),
        f"x-ratelimit-reset-{name}": format_duration(allowance.reset_s),
    }


_FREE: Final = re.compile(r"/v1/jobs/[^/]+/cancel")
"""What is posted without asking for work."""


class RateLimitMiddleware:
    """Counts the requests for work of each caller."""

    def __init__(self, app: ASGIApp, quotas: Quotas) -> None:
        self._app = app
        self._quotas = quotas

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, unless its caller has had all it may."""
        if not _asks_for_work(scope):
            await self._app(scope, receive, send)
            return
        caller = caller_of(HTTPConnection(scope))

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                left = rate_limit_headers(self._quotas.status(caller))
                MutableHeaders(scope=message).update(left)
            await send(message)

        try:
            self._quotas.admit(caller)
        except LimitReached as error:
            reply = await refused(Request(scope), error)
            await reply(scope, receive, told)
            return
        await self._app(scope, receive, told)


def _asks_for_work(scope: Scope) -> bool:
    """Whatever is posted, so that a new route is bounded before anybody thinks of it."""
    is_posted = scope["type"] == "http" and scope["method"] == "POST"
    return is_posted and not _FREE.fullmatch(scope["path"])


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


def cors_middleware(pages: OriginPolicy) -> Sequence[Middleware]:
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


class OriginMiddleware:
    """Refuses what browsers send for pages that are not welcome: WebSockets and all changes.

    A multipart form may be sent to any server without asking it first (Fetch, "CORS-safelisted
    request-header"), so CORS alone keeps nobody from starting a job.
    """

    def __init__(self, app: ASGIApp, pages: OriginPolicy) -> None:
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
        record_failure(scope, error)
        body = JSONResponse(bodies.error_body(error), map_error(error).status)
        await WebSocket(scope, receive, send).send_denial_response(body)

"""Middlewares that authenticate requests, limit their rate and check the origin of web pages."""

import re
from collections.abc import Sequence
from typing import Final

import anyio
import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from whisperlive_hybrid.auth.authenticator import Authenticator
from whisperlive_hybrid.auth.caller import Caller
from whisperlive_hybrid.auth.origins import OriginPolicy
from whisperlive_hybrid.auth.quotas import Quotas, QuotaStatus
from whisperlive_hybrid.auth.rate_limits import format_duration
from whisperlive_hybrid.errors import Forbidden, LimitReached, Unauthenticated
from whisperlive_hybrid.server.http.access_log import record_failure
from whisperlive_hybrid.server.http.error_handlers import error_response, refuse
from whisperlive_hybrid.server.net import credentials

PUBLIC_PATHS: Final = ("/", "/health", "/ready", "/openapi.json", "/test_form.html")
"""Paths for load balancers, and for people who have no key yet."""

PUBLIC_PREFIX: Final = "/web/"
"""The files of the page, into which a key is typed."""

AZURE_KEY_HEADER: Final = "api-key"
"""The header in which clients of Azure send a key."""

_EVENTS: Final = re.compile(r"/v1/jobs/[^/]+/events")
"""Read by EventSource, which can set no header."""

_UNMETERED: Final = re.compile(r"/v1/jobs/[^/]+/cancel")
"""Paths that are posted to without a request for work."""

METHODS: Final = ("GET", "HEAD", "POST", "DELETE")
"""The methods of the API."""

_READ_METHODS: Final = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing: a page may send them, and cannot read the response."""

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
"""Response headers that scripts of other origins may read."""

_CALLER: Final = "caller"

log = structlog.get_logger(__name__)


class AuthMiddleware:
    """Puts the `Caller` of a request or a WebSocket into its state, or answers 401."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator) -> None:
        self._app = app
        self._authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Authenticate a request before any of its body is read."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        path, peer = scope["path"], credentials.read_peer(scope)
        is_public = path in PUBLIC_PATHS or path.startswith(PUBLIC_PREFIX)
        try:
            if scope["type"] == "http" and is_public:
                caller = self._authenticator.anonymous(*peer)
            else:
                tokens = _read_tokens(HTTPConnection(scope))
                caller = self._authenticator.authenticate(*peer, tokens)
        except Unauthenticated as error:
            record_failure(scope, error)  # before the pause, in which the client may disconnect
            # Slows down guesses of keys; requests with valid keys are never delayed.
            await anyio.sleep(error.answer_after_s)
            await error_response(path, error)(scope, receive, send)
            return
        scope.setdefault("state", {})[_CALLER] = caller
        await self._app(scope, receive, send)


def caller_of(connection: HTTPConnection) -> Caller:
    """Return the caller of an authenticated request."""
    caller: Caller = connection.scope["state"][_CALLER]
    return caller


def _read_tokens(connection: HTTPConnection) -> list[str]:
    """Return the keys of a request, from its headers, subprotocols or query."""
    scope = connection.scope
    headers = connection.headers
    tokens = [
        *credentials.read_bearer_token(headers.get("authorization")),
        *headers.getlist(AZURE_KEY_HEADER),
    ]
    if scope["type"] == "websocket":
        tokens += credentials.read_subprotocol_tokens(scope["subprotocols"])
    elif not (scope["method"] == "GET" and _EVENTS.fullmatch(scope["path"])):
        # Proxies log URLs, and browsers keep them in histories, so no other query may hold a key.
        return tokens
    return tokens + credentials.read_query_token(scope["query_string"].decode("latin-1"))


def rate_limit_headers(status: QuotaStatus) -> dict[str, str]:
    """Return the `x-ratelimit-` headers of all limits; OpenAI has none for seconds of audio."""
    headers: dict[str, str] = {}
    for name, limit in (("requests", status.requests), ("audio-seconds", status.audio_s)):
        if limit is not None:
            headers[f"x-ratelimit-limit-{name}"] = f"{limit.limit:.10g}"
            headers[f"x-ratelimit-remaining-{name}"] = str(int(limit.remaining))
            headers[f"x-ratelimit-reset-{name}"] = format_duration(limit.reset_s)
    return headers


class RateLimitMiddleware:
    """Counts the requests for work of each caller, and refuses those over its limits."""

    def __init__(self, app: ASGIApp, quotas: Quotas) -> None:
        self._app = app
        self._quotas = quotas

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Admit a request for work, or answer 429; both with the caller's remaining quota."""
        # Every POST counts, so that a new route is limited by default.
        is_post = scope["type"] == "http" and scope["method"] == "POST"
        if not is_post or _UNMETERED.fullmatch(scope["path"]):
            await self._app(scope, receive, send)
            return
        caller = caller_of(HTTPConnection(scope))

        async def send_with_limits(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = rate_limit_headers(self._quotas.status(caller))
                MutableHeaders(scope=message).update(headers)
            await send(message)

        try:
            self._quotas.admit(caller)
        except LimitReached as error:
            await refuse(error, scope, receive, send_with_limits)
            return
        await self._app(scope, receive, send_with_limits)


def cors_middleware(policy: OriginPolicy) -> Sequence[Middleware]:
    """Return the middleware that lets pages of the allowed origins read responses; or none."""
    if not policy.origins:
        return ()
    cors = Middleware(
        CORSMiddleware,
        allow_origins=policy.origins,
        allow_methods=METHODS,
        allow_headers=("*",),  # keys, progress ids, and the headers that SDKs add
        allow_private_network=True,  # for servers in the network of a page's visitor
        expose_headers=_EXPOSED,
    )
    return (cors,)


class OriginMiddleware:
    """Refuses requests of web pages of other origins: WebSockets, and methods that change state.

    A page may send a multipart form to any server without asking it first (Fetch, "CORS-safelisted
    request-header"), so CORS alone does not prevent it from starting a job.
    """

    def __init__(self, app: ASGIApp, pages: OriginPolicy) -> None:
        self._app = app
        self._policy = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check the origin and the host of a request, or answer 403."""
        try:
            if scope["type"] in {"http", "websocket"}:
                headers = Headers(scope=scope)
                hosts = headers.getlist("host")
                # A GET of a foreign page is answered: it changes nothing, the page cannot read the
                # response, and links and images work.
                if scope["type"] == "http" and scope["method"] in _READ_METHODS:
                    self._policy.check_host(hosts)
                else:
                    self._policy.check(headers.getlist("origin"), hosts)
        except Forbidden as error:
            # 403, not 421: 421 lets a client retry on another connection, which does not help.
            log.info("page refused", path=scope["path"], reason=error.message)
            await refuse(error, scope, receive, send)
        else:
            await self._app(scope, receive, send)

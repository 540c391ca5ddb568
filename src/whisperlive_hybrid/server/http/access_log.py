"""One line in the log for every request, one count in the metrics, and one span."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import structlog
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.routing import BaseRoute, Match, Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from whisperlive_hybrid.auth.authenticator import Authenticator
from whisperlive_hybrid.auth.caller import Caller
from whisperlive_hybrid.errors import error_kind
from whisperlive_hybrid.protocol.model_names import MODEL_HEADER
from whisperlive_hybrid.server.net.credentials import read_peer
from whisperlive_hybrid.telemetry.server_metrics import CompletedRequest, Endpoint, ServerMetrics
from whisperlive_hybrid.telemetry.tracing import Tracer, TraceSpan

PROBES: Final = ("/health", "/ready", "/metrics")
"""Asked every few seconds by machines: logged at debug only, and not traced."""

UNROUTED: Final = "none"
"""The route of what has none; a path of a client's own making is no label."""

CLIENT_CLOSED_REQUEST: Final = 499
"""The status of a request whose client went before its reply began."""

_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_FAILURE: Final = "failure"
_MODEL: Final = "answering_model"

log = structlog.get_logger(__name__)


def record_failure(scope: Scope, error: Exception) -> None:
    """Remember why a request came to nothing; the last word on it counts."""
    scope.setdefault("state", {})[_FAILURE] = error


def model_headers(request: Request, model: str) -> dict[str, str]:
    """Name the model that answers: in the returned headers, and in the line of the log."""
    request.scope.setdefault("state", {})[_MODEL] = model
    # A directory may be called anything, and a header holds ASCII.
    return {MODEL_HEADER: quote(model, safe="/:@+ ~()[]")}


@dataclass(slots=True)
class _Reply:
    """What was seen of a reply."""

    status: int = CLIENT_CLOSED_REQUEST
    n_bytes: int = 0

    def see(self, message: Message) -> None:
        """Look at a message on its way out."""
        match message["type"]:
            case "http.response.start" | "websocket.http.response.start":
                self.status = message["status"]
            case "websocket.accept":
                self.status = 101
            case "websocket.close" if self.status == CLIENT_CLOSED_REQUEST:
                self.status = 403  # as the server answers a handshake that is not accepted
            case "http.response.body":
                self.n_bytes += len(message.get("body", b""))
            case "websocket.send":
                self.n_bytes += len(message.get("bytes") or message.get("text") or "")


class AccessLogMiddleware:
    """Watches every request from its head to the end of its reply; a WebSocket is one request."""

    def __init__(
        self,
        app: ASGIApp,
        metrics: ServerMetrics,
        tracer: Tracer,
        authenticator: Authenticator,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._tracer = tracer
        self._authenticator = authenticator
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and tell of it afterwards."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["path"] in PROBES:
            await self._watched(scope, receive, send)
        else:
            with self._tracer.join(Headers(scope=scope)), self._tracer.span("request") as span:
                served = await self._watched(scope, receive, send)
                _describe(span, served)

    async def _watched(self, scope: Scope, receive: Receive, send: Send) -> CompletedRequest:
        reply, began = _Reply(), self._clock()

        async def seen(message: Message) -> None:
            reply.see(message)
            await send(message)

        try:
            await self._app(scope, receive, seen)
        finally:
            served = CompletedRequest(
                _method(scope), _route(scope), reply.status, self._clock() - began
            )
            self._tell(scope, served, reply.n_bytes)
        return served

    def _tell(self, scope: Scope, served: CompletedRequest, n_bytes: int) -> None:
        self._metrics.count_request(served)
        state = scope.get("state", {})
        failure: Exception | None = state.get(_FAILURE)
        if failure is not None:
            self._metrics.count_failure(Endpoint.HTTP, failure)
        # Who was refused before it was settled who asks is known by address.
        caller: Caller = state.get("caller") or self._authenticator.anonymous(*read_peer(scope))
        more = {} if failure is None else {"failure": error_kind(failure)}
        if model := state.get(_MODEL):
            more["model"] = model
        tell = log.debug if scope["path"] in PROBES else log.info
        tell(
            "request",
            method=served.method,
            route=served.route,
            status=served.status,
            seconds=round(served.seconds, 3),
            bytes=n_bytes,
            caller=caller.account,
            **more,
        )


def _method(scope: Scope) -> str:
    """GET and the like; a word of a client's own is no label."""
    if scope["type"] == "websocket":
        return "WEBSOCKET"
    method: str = scope["method"]
    return method if method in _METHODS else "other"


def _route(scope: Scope) -> str:
    """The template of the route, as in /v1/jobs/{job_id}, also of a request that was refused."""
    match scope.get("route") or _route_refused(scope):
        case Route() | WebSocketRoute() as route:
            return route.path
        case _:
            return UNROUTED


def _route_refused(scope: Scope) -> BaseRoute | None:
    """Where a request would have gone that was refused before it was routed."""
    routes: Sequence[BaseRoute] = scope["app"].routes if "app" in scope else ()
    return next((each for each in routes if each.matches(scope)[0] is not Match.NONE), None)


def _describe(span: TraceSpan, served: CompletedRequest) -> None:
    span.rename(f"{served.method} {served.route}")
    span.set_attributes(
        {
            "http.request.method": served.method,
            "http.route": served.route,
            "http.response.status_code": served.status,
        }
    )

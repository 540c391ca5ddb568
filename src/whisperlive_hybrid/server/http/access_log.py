"""The middleware that gives every request a line in the log, a count in the metrics and a span."""

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
from whisperlive_hybrid.telemetry.tracing import Tracer

PROBES: Final = ("/health", "/ready", "/metrics")
"""Requested by machines every few seconds: logged at level debug, and not traced."""

UNROUTED: Final = "none"
"""The label of requests without a route, because a client chooses the path."""

CLIENT_CLOSED_REQUEST: Final = 499
"""The status of a request whose client disconnected before its response, as nginx logs it."""

_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_FAILURE: Final = "failure"
_MODEL: Final = "answering_model"

log = structlog.get_logger(__name__)


def record_failure(scope: Scope, error: Exception) -> None:
    """Store the error of a request for the log; the last one counts."""
    scope.setdefault("state", {})[_FAILURE] = error


def model_headers(request: Request, model: str) -> dict[str, str]:
    """Return the header that names the model, and store the name for the log."""
    request.scope.setdefault("state", {})[_MODEL] = model
    # A model may be a directory of any name, and a header holds ASCII.
    return {MODEL_HEADER: quote(model, safe="/:@+ ~()[]")}


@dataclass(slots=True)
class _ResponseSize:
    """The status and the size of a response, read from its messages."""

    status: int = CLIENT_CLOSED_REQUEST
    n_bytes: int = 0

    def read(self, message: Message) -> None:
        """Read one message of the response."""
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
    """Logs every request when its response has ended; a WebSocket is one request."""

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
        """Run a request in a span, unless it is a probe, and log it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["path"] in PROBES:
            await self._run(scope, receive, send)
        else:
            with self._tracer.join(Headers(scope=scope)), self._tracer.span("request") as span:
                completed = await self._run(scope, receive, send)
                span.rename(f"{completed.method} {completed.route}")
                span.set_attributes(
                    {
                        "http.request.method": completed.method,
                        "http.route": completed.route,
                        "http.response.status_code": completed.status,
                    }
                )

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> CompletedRequest:
        # A client chooses the method, so an unknown one is no label.
        method = scope["method"] if scope.get("method") in _METHODS else "other"
        method = "WEBSOCKET" if scope["type"] == "websocket" else method
        response, began = _ResponseSize(), self._clock()

        async def send_counted(message: Message) -> None:
            response.read(message)
            await send(message)

        try:
            await self._app(scope, receive, send_counted)
        finally:  # also of a request that fails or is cancelled
            completed = CompletedRequest(
                method, _route(scope), response.status, self._clock() - began
            )
            self._log(scope, completed, response.n_bytes)
        return completed

    def _log(self, scope: Scope, completed: CompletedRequest, n_bytes: int) -> None:
        self._metrics.count_request(completed)
        state = scope.get("state", {})
        failure: Exception | None = state.get(_FAILURE)
        if failure is not None:
            self._metrics.count_failure(Endpoint.HTTP, failure)
        # A request that was refused before its authentication is logged by its address.
        caller: Caller = state.get("caller") or self._authenticator.anonymous(*read_peer(scope))
        more = {} if failure is None else {"failure": error_kind(failure)}
        if model := state.get(_MODEL):
            more["model"] = model
        write = log.debug if scope["path"] in PROBES else log.info
        write(
            "request",
            method=completed.method,
            route=completed.route,
            status=completed.status,
            seconds=round(completed.seconds, 3),
            bytes=n_bytes,
            caller=caller.account,
            **more,
        )


def _route(scope: Scope) -> str:
    """Return the template of the route, as in /v1/jobs/{job_id}, also of a refused request."""
    route = scope.get("route")
    if not route and "app" in scope:  # refused before it was routed
        routes: Sequence[BaseRoute] = scope["app"].routes
        route = next((r for r in routes if r.matches(scope)[0] is not Match.NONE), None)
    return route.path if isinstance(route, Route | WebSocketRoute) else UNROUTED

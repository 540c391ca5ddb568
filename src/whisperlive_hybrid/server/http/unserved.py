"""Paths without a route: a WebSocket is answered with a status, and where to connect instead."""

from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from whisperlive_hybrid.errors import NotFound
from whisperlive_hybrid.server.http.access_log import record_failure
from whisperlive_hybrid.server.http.error_handlers import error_response


class NotFoundApp:
    """The router's last resort: 404 for the upgrade of a WebSocket, `otherwise` for the rest.

    Starlette closes such a handshake unaccepted, which reaches the client as 403, as if a key or an
    origin were wrong.
    """

    def __init__(
        self, otherwise: ASGIApp, live_url: str | None, live_port: Callable[[], int]
    ) -> None:
        """`live_url` is the public address of the WebSocket port, if the operator has set one."""
        self._otherwise = otherwise
        self._live_url = live_url
        self._live_port = live_port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that no route has matched."""
        if scope["type"] != "websocket":
            await self._otherwise(scope, receive, send)
            return
        error = NotFound(
            f"No WebSocket is served at {scope['path'][:80]!r}. Live speech: WhisperLive clients "
            f"connect to {self._live_url or f'port {self._live_port()} of this host'}; a job is "
            "watched at '/v1/jobs/{job_id}/ws'."
        )
        record_failure(scope, error)
        await error_response(scope["path"], error)(scope, receive, send)

"""The response to paths without a route; a WebSocket gets a status and the address to use."""

from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from whisperlive_hybrid.errors import NotFound
from whisperlive_hybrid.server.http.error_handlers import refuse


class NotFoundApp:
    """The router's default: 404 for the handshake of a WebSocket, `otherwise` for other requests.

    Starlette closes such a handshake unaccepted, which the client receives as 403, as if a key or
    an origin were wrong.
    """

    def __init__(
        self, otherwise: ASGIApp, live_url: str | None, live_port: Callable[[], int]
    ) -> None:
        """`live_url` is the public address of the live server, if the operator has set one."""
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
        await refuse(error, scope, receive, send)

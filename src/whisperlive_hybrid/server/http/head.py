"""HEAD wherever GET is (RFC 9110, 9.3.2): uptime monitors ask so, and want nothing to read."""

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send


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

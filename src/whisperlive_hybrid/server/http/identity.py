"""Who asks: settled once for every request, before anything is done for it."""

from typing import Final

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from whisperlive_hybrid.access.addresses import Proxies
from whisperlive_hybrid.access.caller import Caller

_CALLER: Final = "caller"


class Identify:
    """Puts the `Caller` of a request, or of a WebSocket, into its state."""

    def __init__(self, app: ASGIApp, proxies: Proxies) -> None:
        self._app = app
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its caller."""
        if scope["type"] != "lifespan":
            address, _ = scope.get("client") or ("", 0)  # None: from a Unix socket
            forwarded = Headers(scope=scope).getlist("x-forwarded-for")
            caller = Caller(self._proxies.client(address, forwarded))
            scope.setdefault("state", {})[_CALLER] = caller
        await self._app(scope, receive, send)


def caller_of(connection: HTTPConnection) -> Caller:
    """Who asks, for a route."""
    caller: Caller = connection.scope["state"][_CALLER]
    return caller

"""Who asks: settled once for every request, before anything is done for it."""

import re
from typing import Final

import anyio
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from whisperlive_hybrid.access.caller import Caller
from whisperlive_hybrid.access.doorkeeper import Doorkeeper
from whisperlive_hybrid.errors import Unauthenticated
from whisperlive_hybrid.server import credentials
from whisperlive_hybrid.server.http.access import note_failure
from whisperlive_hybrid.server.http.peer import origin
from whisperlive_hybrid.server.http.refusals import reply_to

OPEN_PATHS: Final = ("/", "/health", "/ready", "/openapi.json", "/test_form.html")
"""What a load balancer, and whoever has no key yet, may see."""

OPEN_BELOW: Final = "/web/"
"""The files of the page, into which a key is typed."""

AZURE_KEY: Final = "api-key"
"""The header in which clients of Azure show a key."""

_EVENTS: Final = re.compile(r"/v1/jobs/[^/]+/events")
"""Read by EventSource, which can set no header."""

_CALLER: Final = "caller"


class Identify:
    """Puts the `Caller` of a request, or of a WebSocket, into its state; turns away who is none."""

    def __init__(self, app: ASGIApp, doorkeeper: Doorkeeper) -> None:
        self._app = app
        self._doorkeeper = doorkeeper

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its caller; nothing of the body of another is read."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        try:
            caller = self._caller(HTTPConnection(scope))
        except Unauthenticated as error:
            note_failure(scope, error)
            await anyio.sleep(error.answer_after_s)
            await reply_to(scope["path"], error)(scope, receive, send)
            return
        scope.setdefault("state", {})[_CALLER] = caller
        await self._app(scope, receive, send)

    def _caller(self, connection: HTTPConnection) -> Caller:
        whence = origin(connection.scope)
        if _is_open(connection.scope):
            return self._doorkeeper.stranger(*whence)
        return self._doorkeeper.caller(*whence, _shown(connection))


def caller_of(connection: HTTPConnection) -> Caller:
    """Who asks, for a route."""
    caller: Caller = connection.scope["state"][_CALLER]
    return caller


def _is_open(scope: Scope) -> bool:
    path: str = scope["path"]
    is_page = path in OPEN_PATHS or path.startswith(OPEN_BELOW)
    return scope["type"] == "http" and is_page


def _shown(connection: HTTPConnection) -> list[str]:
    scope = connection.scope
    headers = connection.headers
    tokens = [*credentials.in_header(headers.get("authorization")), *headers.getlist(AZURE_KEY)]
    if scope["type"] == "websocket":
        tokens += credentials.in_subprotocols(scope["subprotocols"])
    elif not (scope["method"] == "GET" and _EVENTS.fullmatch(scope["path"])):
        return tokens  # a URL is written into the logs of proxies, and into histories
    return tokens + credentials.in_query(scope["query_string"].decode("latin-1"))

"""Who comes in through the live door: decided at the upgrade, before there is a WebSocket."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import anyio
import structlog
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from whisperlive_hybrid.access.caller import Caller
from whisperlive_hybrid.access.doorkeeper import Doorkeeper
from whisperlive_hybrid.access.pages import Pages
from whisperlive_hybrid.errors import Forbidden, NotFound, Unauthenticated
from whisperlive_hybrid.server import credentials
from whisperlive_hybrid.server.connection import BoundedConnection, session_id
from whisperlive_hybrid.telemetry.door_metrics import Door, DoorMetrics

UNAUTHORIZED: Final = "Unauthorized\n"
"""The reference's body."""

UNSERVED: Final = (
    "No WebSocket is served at this path. WhisperLive clients connect to '/'; the OpenAI API and "
    "jobs are at the HTTP port.\n"
)

_OTHER_API: Final = re.compile(r"/*/(openai|v[0-9]+)(/.*)?")
"""Paths of other live protocols, such as OpenAI's /v1/realtime and Deepgram's /v1/listen.

Any other path is served, since proxies put WhisperLive behind paths of their own."""

_BEARER: Final = Subprotocol(credentials.BEARER)

log = structlog.get_logger(__name__)


class LiveConnection(BoundedConnection):
    """A connection that knows whose it is, from the upgrade on."""

    caller = Caller("")


@dataclass(frozen=True, slots=True)
class LiveEntry:
    """Lets clients in; to be asked by the websockets library at each upgrade."""

    doorkeeper: Doorkeeper
    pages: Pages
    metrics: DoorMetrics

    async def screen(self, connection: ServerConnection, request: Request) -> Response | None:
        """None for a client that may come in, or else the answer in place of the upgrade."""
        assert isinstance(connection, LiveConnection)  # noqa: S101 (the door makes no others)
        headers = request.headers
        try:
            self.pages.check(headers.get_all("Origin"), headers.get_all("Host"))
            if _OTHER_API.fullmatch(request.path.partition("?")[0]):
                self._note("path refused", NotFound(UNSERVED.rstrip()), connection, request)
                return connection.respond(HTTPStatus.NOT_FOUND, UNSERVED)
            connection.caller = self._caller(connection, request)
        except Forbidden as error:
            self._note("page refused", error, connection, request)
            return connection.respond(HTTPStatus.FORBIDDEN, f"{error.message}\n")
        except Unauthenticated as error:
            self._note("client refused", error, connection, request)
            await anyio.sleep(error.answer_after_s)
            response = connection.respond(HTTPStatus.UNAUTHORIZED, UNAUTHORIZED)
            response.headers["WWW-Authenticate"] = "Bearer"
            return response
        return None

    def _caller(self, connection: ServerConnection, request: Request) -> Caller:
        return self.doorkeeper.caller(*_origin(connection, request), _shown(request))

    def _note(
        self,
        event: str,
        error: Forbidden | NotFound | Unauthenticated,
        connection: ServerConnection,
        request: Request,
    ) -> None:
        self.metrics.failed(Door.LIVE, error)
        caller = self.doorkeeper.stranger(*_origin(connection, request)).account
        log.info(event, reason=error.message, session_id=session_id(connection), caller=caller)


def select_subprotocol(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Echo exactly "bearer" where it is offered: browsers put a key beside it."""
    return _BEARER if _BEARER in offered else None


def _origin(connection: ServerConnection, request: Request) -> tuple[str, list[str]]:
    """The peer's address, and what its X-Forwarded-For headers say."""
    address = connection.remote_address  # None: the peer has already gone
    return address[0] if address else "", request.headers.get_all("X-Forwarded-For")


def _shown(request: Request) -> list[str]:
    headers = request.headers
    offered = ",".join(headers.get_all("Sec-WebSocket-Protocol"))
    return [
        *credentials.in_header(next(iter(headers.get_all("Authorization")), None)),
        *credentials.in_query(request.path.partition("?")[2]),
        *credentials.in_subprotocols(name.strip() for name in offered.split(",")),
    ]

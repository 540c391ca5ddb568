"""Live streams on the websockets library: authentication at the upgrade, and the transport.

The library's keepalive has two gaps. Its ping waits without a limit for room in the socket of a
client that reads nothing. And it takes a healthy client for dead whose answer is queued behind
audio while the session accepts no more. So the server sends pings of its own.
"""

import asyncio
import re
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, TypeVar

import anyio
import structlog
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from whisperlive_hybrid.auth.authenticator import Authenticator
from whisperlive_hybrid.auth.caller import Caller
from whisperlive_hybrid.auth.origins import OriginPolicy
from whisperlive_hybrid.errors import Forbidden, NotFound, Unauthenticated
from whisperlive_hybrid.protocol.live import Frame
from whisperlive_hybrid.server.live.transport import ClientLeft, TransportLimits
from whisperlive_hybrid.server.net import credentials
from whisperlive_hybrid.telemetry.server_metrics import Endpoint, ServerMetrics

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

T = TypeVar("T")

log = structlog.get_logger(__name__)


class LiveConnection(ServerConnection):
    """A connection with its caller, which holds little memory before its first message.

    The library bounds each message, which may be large, and answers pings without a bound.
    """

    caller = Caller("")
    """Known from the upgrade on."""
    has_greeted = False
    """Whether its first message was read."""

    def __init__(self, *args: Any, limits: TransportLimits, **options: Any) -> None:  # noqa: ANN401 (the library's)
        super().__init__(*args, **options)
        self._limits = limits
        self._n_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Take data, unless it is too much for a first message or brings too many pings."""
        if not self.has_greeted:
            self._n_bytes += len(data)
            if self._n_bytes > self._limits.most_greeting:
                self._abort("its first message is too long")
                return
        super().data_received(data)
        if self.transport.get_write_buffer_size() > self._limits.most_unsent:
            self._abort("it reads nothing and asks for pongs")

    def _abort(self, reason: str) -> None:
        # The event loop calls this outside of the tasks whose log lines have the id.
        log.info("client is cut off", reason=reason, session_id=stream_id(self))
        self.transport.abort()


def stream_id(socket: ServerConnection) -> str:
    """Return the id of a live stream on every line of the log."""
    return f"live_{socket.id.hex}"


class WebSocketTransport:
    """A `Transport` over a connection of the websockets library."""

    def __init__(self, socket: LiveConnection, limits: TransportLimits) -> None:
        self._socket = socket
        self._limits = limits
        self.id = stream_id(socket)
        self.caller = socket.caller
        request = socket.request  # None: it was none
        headers = request.headers.raw_items() if request else ()
        self.trace_headers: Mapping[str, str] = {name.lower(): value for name, value in headers}

    async def receive(self) -> Frame:
        """Return the next message; safe to cancel."""
        try:
            frame = await self._socket.recv()
        except ConnectionClosed as error:
            raise ClientLeft from error
        self._socket.has_greeted = True
        return frame

    async def send(self, frame: Frame) -> None:
        """Send a message; cut the client off if it takes nothing for as long as a ping may take."""
        await self._within(2 * self._limits.ping_s, self._socket.send(frame))

    async def ping(self) -> asyncio.Future[float]:
        """Send a ping; the future is done when its pong has come."""
        pong = await self._within(self._limits.ping_s, self._socket.ping())
        return asyncio.ensure_future(pong)

    async def abort(self, reason: str) -> ClientLeft:
        """End the connection without a message, since the client would not read it."""
        log.info("client is cut off", reason=reason)
        self._socket.transport.abort()
        await self._socket.wait_closed()
        return ClientLeft()

    async def close(self, code: int) -> None:
        """Close, and read on meanwhile: the client's answer may be queued behind unread messages.

        The library bounds the wait for the answer, but not that for room to send the close.
        """
        with anyio.move_on_after(2 * self._limits.close_s) as waiting:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._discard)
                await self._socket.close(code)
        if waiting.cancelled_caught:
            self._socket.transport.abort()

    async def _within(self, seconds: float, sending: Awaitable[T]) -> T:
        """Return the result of `sending`; cut off a client that takes nothing for so long."""
        with anyio.move_on_after(seconds):
            try:
                return await sending
            except ConnectionClosed as error:
                raise ClientLeft from error
        raise await self.abort("it reads nothing")

    async def _discard(self) -> None:
        with suppress(ConnectionClosed):
            while True:
                await self._socket.recv()


@dataclass(frozen=True, slots=True)
class UpgradeCheck:
    """Authenticates clients at the upgrade, before there is a WebSocket."""

    authenticator: Authenticator
    pages: OriginPolicy
    metrics: ServerMetrics

    async def process_request(
        self, connection: ServerConnection, request: Request
    ) -> Response | None:
        """Return None for a client that may connect, else the response in place of the upgrade.

        The websockets library calls this.
        """
        assert isinstance(connection, LiveConnection)  # noqa: S101 (the server makes no others)
        headers = request.headers
        try:
            self.pages.check(headers.get_all("Origin"), headers.get_all("Host"))
            if _OTHER_API.fullmatch(request.path.partition("?")[0]):
                self._log_refusal("path refused", NotFound(UNSERVED.rstrip()), connection, request)
                return connection.respond(HTTPStatus.NOT_FOUND, UNSERVED)
            connection.caller = self.authenticator.authenticate(
                *_origin(connection, request), _credentials(request)
            )
        except Forbidden as error:
            self._log_refusal("page refused", error, connection, request)
            return connection.respond(HTTPStatus.FORBIDDEN, f"{error.message}\n")
        except Unauthenticated as error:
            self._log_refusal("client refused", error, connection, request)
            await anyio.sleep(error.answer_after_s)
            response = connection.respond(HTTPStatus.UNAUTHORIZED, UNAUTHORIZED)
            response.headers["WWW-Authenticate"] = "Bearer"
            return response
        return None

    def _log_refusal(
        self,
        event: str,
        error: Forbidden | NotFound | Unauthenticated,
        connection: ServerConnection,
        request: Request,
    ) -> None:
        self.metrics.count_failure(Endpoint.LIVE, error)
        caller = self.authenticator.anonymous(*_origin(connection, request)).account
        log.info(event, reason=error.message, session_id=stream_id(connection), caller=caller)


def select_subprotocol(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Return "bearer" where it is offered: browsers put a key beside it, which is not echoed."""
    return _BEARER if _BEARER in offered else None


def _origin(connection: ServerConnection, request: Request) -> tuple[str, list[str]]:
    """Return the peer's address and its X-Forwarded-For headers."""
    address = connection.remote_address  # None: the peer has already gone
    return address[0] if address else "", request.headers.get_all("X-Forwarded-For")


def _credentials(request: Request) -> list[str]:
    headers = request.headers
    offered = ",".join(headers.get_all("Sec-WebSocket-Protocol"))
    return [
        *credentials.read_bearer_token(next(iter(headers.get_all("Authorization")), None)),
        *credentials.read_query_token(request.path.partition("?")[2]),
        *credentials.read_subprotocol_tokens(name.strip() for name in offered.split(",")),
    ]

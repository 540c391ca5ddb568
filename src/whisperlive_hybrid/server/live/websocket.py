"""A client's connection: whether anybody is still there, and an end of it in bounded time.

The library's keepalive tells neither of two things. Its ping waits without a limit for room in the
socket of a client that reads nothing. And it takes a healthy client for dead whose answer lies
unread behind audio, while a session cannot hear more. So the door pings for itself.
"""

import asyncio
import re
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, TypeVar

import anyio
import structlog
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from whisperlive_hybrid.auth.authenticator import Doorkeeper
from whisperlive_hybrid.auth.caller import Caller
from whisperlive_hybrid.auth.origins import Pages
from whisperlive_hybrid.config import Settings
from whisperlive_hybrid.errors import Forbidden, NotFound, Unauthenticated
from whisperlive_hybrid.server.live.report import Ending
from whisperlive_hybrid.server.net import credentials
from whisperlive_hybrid.server.net.uvicorn import MOST_UNSENT
from whisperlive_hybrid.telemetry.server_metrics import Door, DoorMetrics

MOST_GREETING: Final = 2 * 2**20
"""Bytes before the first message is read: the reference allows that message 1 MiB, and audio may
come right behind it. A later message may be larger, from a client that was let in."""

CLOSE_S: Final = 2.0
"""For the client's part of a close; the websocket-client package never closes its socket."""

T = TypeVar("T")

log = structlog.get_logger(__name__)


class BoundedConnection(ServerConnection):
    """A connection that makes the server hold little before it has said who it is, or for itself.

    The library bounds each message, which may be large, and answers pings without a bound.
    """

    has_greeted = False
    """Whether its first message has come."""

    _n_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Take what has come, unless it is too much for a greeting or brings too many pings."""
        if not self.has_greeted:
            self._n_bytes += len(data)
            if self._n_bytes > MOST_GREETING:
                self._cut_off("its first message is too long")
                return
        super().data_received(data)
        if self.transport.get_write_buffer_size() > MOST_UNSENT:
            self._cut_off("it reads nothing and asks for pongs")

    def _cut_off(self, reason: str) -> None:
        # The event loop calls this, outside of the tasks whose lines have the id by themselves.
        log.info("client is cut off", reason=reason, session_id=session_id(self))
        self.transport.abort()


def session_id(socket: ServerConnection) -> str:
    """The id of a live stream on every line of the log."""
    return f"live_{socket.id.hex}"


class Client:
    """An admitted connection: whose it is, until when, and how to make it stop."""

    def __init__(self, caller: Caller, settings: Settings) -> None:
        self.caller = caller
        self.until = anyio.current_time() + settings.max_connection_s
        self.gone = anyio.Event()
        self.ending: Ending | None = None
        """Why it may say no more; None while it may, and for one that has said everything."""
        self._ping_s = settings.ping_s
        self._idle_s = settings.idle_s
        self._idle_until = self.until
        self._has_spoken = True
        self._listening = anyio.CancelScope()

    def stop(self, why: Ending) -> None:
        """Hear no more of it; what was heard is finished. The first reason counts."""
        if self.ending is None:
            self.ending = why
            self.until = anyio.current_time()
            self._listening.cancel()

    async def next_frame(self, socket: ServerConnection) -> str | bytes | None:
        """The next message; None when it may say no more (`ending`).

        A client that sends nothing for long is pinged and must answer; if nothing comes for very
        long its time is up.
        """
        if self._has_spoken:  # from now on: until now the session may have been busy
            self._idle_until = anyio.current_time() + self._idle_s
        pong: asyncio.Future[float] | None = None
        # A message that already waits is received without a pause, and without a look at the time.
        while self._may_speak():
            patience = min(self.until, self._idle_until, anyio.current_time() + self._ping_s)
            with anyio.CancelScope(deadline=patience) as self._listening:
                frame = await socket.recv()
                self._has_spoken = bool(frame)  # empty ones are allowed, and are no audio
                return frame
            if self._may_speak():
                pong = await self._pinged(socket, pong)
        return None

    def _may_speak(self) -> bool:
        now = anyio.current_time()
        if now >= self.until:
            self.stop(Ending.TIME_UP)
        elif now >= self._idle_until:
            self.stop(Ending.IDLE)
        return self.ending is None

    async def _pinged(
        self, socket: ServerConnection, pong: "asyncio.Future[float] | None"
    ) -> "asyncio.Future[float]":
        """Send a ping, unless the one before is unanswered: then the client has gone."""
        if pong is not None and not pong.done():
            raise await _cut_off(socket, "it answers no ping")
        return asyncio.ensure_future(await taken(socket, socket.ping(), self._ping_s))


async def send(socket: ServerConnection, message: str, ping_s: float) -> None:
    """Send a message; a client that takes nothing for as long as a ping may take is cut off."""
    await taken(socket, socket.send(message), 2 * ping_s)


async def taken(socket: ServerConnection, sending: Awaitable[T], seconds: float) -> T:
    """The result of `sending`; a client that takes nothing for so long is cut off."""
    with anyio.move_on_after(seconds):
        return await sending
    raise await _cut_off(socket, "it reads nothing")


async def _cut_off(socket: ServerConnection, reason: str) -> ConnectionClosed:
    """End a connection without a word, since nobody would read it; the exception is to raise."""
    log.info("client is cut off", reason=reason)
    socket.transport.abort()
    await socket.wait_closed()
    return socket.protocol.close_exc


async def close(socket: ServerConnection, code: int) -> None:
    """Close, and read on meanwhile: behind unread frames the client's answer would not be seen.

    The library bounds the wait for the answer, but not that for room to send the close.
    """
    with anyio.move_on_after(2 * CLOSE_S) as patience:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_discard, socket)
            await socket.close(code)
    if patience.cancelled_caught:
        socket.transport.abort()


async def _discard(socket: ServerConnection) -> None:
    with suppress(ConnectionClosed):
        while True:
            await socket.recv()


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

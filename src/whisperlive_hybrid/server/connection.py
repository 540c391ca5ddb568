"""A client's connection: whether anybody is still there, and an end of it in bounded time.

The library's keepalive tells neither of two things. Its ping waits without a limit for room in the
socket of a client that reads nothing. And it takes a healthy client for dead whose answer lies
unread behind audio, while a session cannot hear more. So the door pings for itself.
"""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import Final, TypeVar

import anyio
import structlog
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from whisperlive_hybrid.access.caller import Caller
from whisperlive_hybrid.config import Settings
from whisperlive_hybrid.server.stream_report import Ending
from whisperlive_hybrid.server.taking import MOST_UNSENT

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

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

CLOSE_S: Final = 2.0
"""For the client's part of a close; the websocket-client package never closes its socket."""

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Client:
    """An admitted connection: whose it is, when its time is up, and how to make it stop."""

    def __init__(self, caller: Caller, seconds: float, ping_s: float) -> None:
        self.caller = caller
        self.until = anyio.current_time() + seconds
        self.gone = anyio.Event()
        self.is_told_to_stop = False
        self.is_out_of_time = False
        self._ping_s = ping_s
        self._listening = anyio.CancelScope()

    def stop(self) -> None:
        """Make it finish what it has heard, and leave."""
        self.is_told_to_stop = True
        self._listening.cancel()

    async def next_frame(self, socket: ServerConnection) -> str | bytes | None:
        """The next message; None when the client is to stop or its time is up.

        A client that sends nothing for long is pinged and must answer.
        """
        pong: asyncio.Future[float] | None = None
        # A message that already waits is received without a pause, and without a look at the time.
        while self._may_speak():
            patience = min(self.until, anyio.current_time() + self._ping_s)
            with anyio.CancelScope(deadline=patience) as self._listening:
                return await socket.recv()
            if self._may_speak():
                pong = await self._pinged(socket, pong)
        self.is_out_of_time = not self.is_told_to_stop
        return None

    def _may_speak(self) -> bool:
        return not self.is_told_to_stop and anyio.current_time() < self.until

    async def _pinged(
        self, socket: ServerConnection, pong: "asyncio.Future[float] | None"
    ) -> "asyncio.Future[float]":
        """Send a ping, unless the one before is unanswered: then the client has gone."""
        if pong is not None and not pong.done():
            raise await _cut_off(socket, "it answers no ping")
        return asyncio.ensure_future(await taken(socket, socket.ping(), self._ping_s))


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

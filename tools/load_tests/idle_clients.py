"""Those who besiege a server: live clients that say nothing, and uploads that hardly come."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import anyio
import anyio.abc
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from whisperlive_hybrid.bench.client import Refused, shake_hands
from whisperlive_hybrid.bench.http_client import PATH, parse_http_url

UPLOAD_BYTES: Final = 64 * 2**20
"""What a slow upload announces; it never comes to its end."""

DROP_BYTES: Final = 2048
DROP_EVERY_S: Final = 1.0
"""Twice the least rate that a server of ours serves, so that it may not send them away."""

BACK_OFF_S: Final = 1.0
"""Before somebody who was sent away comes again."""

_BOUNDARY: Final = "whisperlive-siege-7d1f"

_SENT_AWAY: Final = (
    OSError,
    InvalidHandshake,
    ConnectionClosed,
    Refused,
    anyio.BrokenResourceError,
)


@dataclass(frozen=True, slots=True)
class Crowd:
    """How many there are of each."""

    idle: int
    uploads: int


@dataclass(slots=True)
class Presence:
    """How many of the crowd are there, and how often somebody was sent away."""

    crowd: Crowd
    idle: int = 0
    uploads: int = 0
    sent_away: int = 0
    all_there: anyio.Event = field(default_factory=anyio.Event)

    def note(self) -> None:
        """Somebody has come."""
        if (self.idle, self.uploads) == (self.crowd.idle, self.crowd.uploads):
            self.all_there.set()


async def besiege(url: str, http_url: str, presence: Presence) -> None:
    """Stay until cancelled; who is sent away comes back."""
    async with anyio.create_task_group() as tasks:
        for _ in range(presence.crowd.idle):
            tasks.start_soon(_again_and_again, _idle, url, presence)
        for _ in range(presence.crowd.uploads):
            tasks.start_soon(_again_and_again, _upload, http_url, presence)


async def _again_and_again(
    besieger: Callable[[str, Presence], Awaitable[None]], url: str, presence: Presence
) -> None:
    while True:
        with suppress(*_SENT_AWAY):
            await besieger(url, presence)
        presence.sent_away += 1
        await anyio.sleep(BACK_OFF_S)


async def _idle(url: str, presence: Presence) -> None:
    """A client that is admitted and then says nothing; the library answers its pings."""
    async with connect(url, compression=None, max_size=None, proxy=None) as socket:
        await shake_hands(socket, "en")
        presence.idle += 1
        presence.note()
        try:
            async for _ in socket:
                pass
        finally:
            presence.idle -= 1


async def _upload(url: str, presence: Presence) -> None:
    """A form whose file comes in drops."""
    host, port = parse_http_url(url)
    async with await anyio.connect_tcp(host, port) as socket:
        await socket.send(_head(f"{host}:{port}"))
        presence.uploads += 1
        presence.note()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_drip, socket)
                with suppress(anyio.EndOfStream):
                    await socket.receive()  # whatever is answered: it is over
                tasks.cancel_scope.cancel()
        finally:
            presence.uploads -= 1


async def _drip(socket: anyio.abc.SocketStream) -> None:
    with suppress(anyio.BrokenResourceError):
        while True:
            await socket.send(bytes(DROP_BYTES))
            await anyio.sleep(DROP_EVERY_S)


def _head(host: str) -> bytes:
    form = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="slow.wav"\r\n\r\n'
    )
    lines = (
        f"POST {PATH} HTTP/1.1",
        f"Host: {host}",
        f"Content-Type: multipart/form-data; boundary={_BOUNDARY}",
        f"Content-Length: {UPLOAD_BYTES}",
        "\r\n",
    )
    return ("\r\n".join(lines) + form).encode()

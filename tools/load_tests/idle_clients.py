"""Clients that only hold resources: live clients that send nothing, and slow uploads."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import anyio
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from whisperlive_hybrid.bench.client import Refused, shake_hands
from whisperlive_hybrid.bench.http_client import PATH, parse_http_url

UPLOAD_BYTES: Final = 64 * 2**20
"""The announced length of a slow upload, which is never reached."""

CHUNK_BYTES: Final = 2048
CHUNK_EVERY_S: Final = 1.0
"""Twice the lowest rate that the server allows, so that it must not close the connection."""

BACK_OFF_S: Final = 1.0
"""Pause before a rejected client reconnects."""

_BOUNDARY: Final = "whisperlive-idle-7d1f"

_REJECTED: Final = (
    OSError,
    InvalidHandshake,
    ConnectionClosed,
    Refused,
    anyio.BrokenResourceError,
)


@dataclass(frozen=True, slots=True)
class IdleClients:
    """The number of clients of each kind."""

    idle: int
    uploads: int


@dataclass(slots=True)
class Presence:
    """The numbers of connected clients, and of lost or rejected connections."""

    wanted: IdleClients
    idle: int = 0
    uploads: int = 0
    sent_away: int = 0
    all_connected: anyio.Event = field(default_factory=anyio.Event)

    def notify(self) -> None:
        """Set `all_connected` once all clients are connected."""
        if (self.idle, self.uploads) == (self.wanted.idle, self.wanted.uploads):
            self.all_connected.set()


async def connect_idle_clients(url: str, http_url: str, presence: Presence) -> None:
    """Keep all clients connected until cancelled; rejected ones reconnect."""
    async with anyio.create_task_group() as tasks:
        for _ in range(presence.wanted.idle):
            tasks.start_soon(_keep_connected, _run_idle, url, presence)
        for _ in range(presence.wanted.uploads):
            tasks.start_soon(_keep_connected, _upload_slowly, http_url, presence)


async def _keep_connected(
    run_client: Callable[[str, Presence], Awaitable[None]], url: str, presence: Presence
) -> None:
    while True:
        with suppress(*_REJECTED):
            await run_client(url, presence)
        presence.sent_away += 1
        await anyio.sleep(BACK_OFF_S)


async def _run_idle(url: str, presence: Presence) -> None:
    """Connect a live client that sends nothing; the library responds to pings."""
    async with connect(url, compression=None, max_size=None, proxy=None) as socket:
        await shake_hands(socket, "en")
        presence.idle += 1
        presence.notify()
        try:
            async for _ in socket:
                pass
        finally:
            presence.idle -= 1


async def _upload_slowly(url: str, presence: Presence) -> None:
    """Upload a form whose file is sent in small chunks and never ends."""
    host, port = parse_http_url(url)
    head = "\r\n".join(
        (
            f"POST {PATH} HTTP/1.1",
            f"Host: {host}:{port}",
            f"Content-Type: multipart/form-data; boundary={_BOUNDARY}",
            f"Content-Length: {UPLOAD_BYTES}",
            "",
            f"--{_BOUNDARY}",
            'Content-Disposition: form-data; name="file"; filename="slow.wav"',
            "",
            "",
        )
    )
    async with await anyio.connect_tcp(host, port) as socket:

        async def send_file() -> None:
            with suppress(anyio.BrokenResourceError):
                while True:
                    await socket.send(bytes(CHUNK_BYTES))
                    await anyio.sleep(CHUNK_EVERY_S)

        await socket.send(head.encode())
        presence.uploads += 1
        presence.notify()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(send_file)
                with suppress(anyio.EndOfStream):
                    await socket.receive()  # any response ends the upload
                tasks.cancel_scope.cancel()
        finally:
            presence.uploads -= 1

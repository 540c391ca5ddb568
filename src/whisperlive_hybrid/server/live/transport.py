"""A connection as live streams see it, whatever carries it."""

from asyncio import Future
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from whisperlive_hybrid.auth.caller import Caller
from whisperlive_hybrid.protocol.live import Frame
from whisperlive_hybrid.server.net.uvicorn import MAX_UNSENT_BYTES

NORMAL_CLOSURE: Final = 1000
INTERNAL_ERROR: Final = 1011
SERVICE_RESTART: Final = 1012


class ClientLeft(Exception):
    """The connection has ended; nothing more can be read or sent."""


class Transport(Protocol):
    """Carries the messages of one client. Every method raises `ClientLeft` once it has gone."""

    @property
    def id(self) -> str:
        """Names the stream in logs and traces."""

    @property
    def caller(self) -> Caller:
        """The authenticated client, or its address."""

    @property
    def trace_headers(self) -> Mapping[str, str]:
        """Headers of the request that opened the connection, names in lower case."""

    async def receive(self) -> Frame:
        """Return the next message; safe to cancel."""

    async def send(self, frame: Frame) -> None:
        """Send a message; cut the client off if it takes nothing for too long."""

    async def ping(self) -> "Future[float]":
        """Ask for a sign of life; the future is done when it has come."""

    async def abort(self, reason: str) -> ClientLeft:
        """End the connection without a message; return the exception to raise."""

    async def close(self, code: int) -> None:
        """Close with a WebSocket code or the transport's counterpart, in bounded time."""


@dataclass(frozen=True, slots=True)
class TransportLimits:
    """Bounds of a connection; times in seconds, sizes in bytes."""

    ping_s: float = 20.0
    """Silence after which a client is pinged, and time for the answer."""
    handshake_s: float = 10.0
    """For the HTTP upgrade, and again for the first message (the reference's and the library's)."""
    close_s: float = 2.0
    """For the client's part of a close; the websocket-client package never closes its socket."""
    most_greeting: int = 2 * 2**20
    """Before the first message is read: the reference allows that message 1 MiB, and audio may
    follow at once. Later messages of an admitted client may be larger."""
    most_unsent: int = MAX_UNSENT_BYTES
    """In the write buffer, before a client that asks for more is cut off."""

"""uvicorn's protocols with a limit to their patience: for heads, for readers, for refused bodies.

uvicorn itself waits for the head of a request for ever (measured: 150 of 150 slow sockets open
after 45 s), reads what a client still sends after its answer as long as it sends, and keeps an
answer in memory until it is read.
"""

import asyncio
import fcntl
import struct
import termios
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

WRITE_CHECK_INTERVAL_S: Final = 30.0
"""For so long a peer may take nothing at all."""

MAX_UNSENT_BYTES: Final = 4 * 2**20
"""Bytes that may wait while more is asked for: pongs for a client that pings and reads nothing."""


class WriteWatchdog:
    """Watches one connection; `pause` and `resume` are told by its transport.

    The transport must have no room for unsent bytes, so that it pauses whenever there are any.
    """

    def __init__(self, transport: asyncio.Transport, min_bytes_per_s: float) -> None:
        transport.set_write_buffer_limits(high=0)
        self._transport = transport
        self._least = min_bytes_per_s * WRITE_CHECK_INTERVAL_S
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._left = 0

    def pause(self) -> None:
        """Bytes wait for the peer."""
        self._left = self._waiting()
        self._timer = self._loop.call_later(WRITE_CHECK_INTERVAL_S, self._look)

    def resume(self) -> None:
        """None wait any more, or there is nobody for whom they could."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        left = self._waiting()
        if self._left - left < self._least:
            self._transport.abort()
            return
        self._left = left
        self._timer = self._loop.call_later(WRITE_CHECK_INTERVAL_S, self._look)

    def _waiting(self) -> int:
        """Bytes that the peer has not taken: ours and the kernel's, which may be megabytes."""
        return self._transport.get_write_buffer_size() + _unacknowledged(self._transport)


def _unacknowledged(transport: asyncio.Transport) -> int:
    """Bytes in the kernel; 0 where it does not tell (elsewhere than on Linux)."""
    waiting = struct.pack("i", 0)
    with suppress(OSError):
        descriptor = transport.get_extra_info("socket").fileno()
        waiting = fcntl.ioctl(descriptor, termios.TIOCOUTQ, waiting)
    (n_bytes,) = struct.unpack("i", waiting)
    return int(n_bytes)


KEEP_ALIVE_S: Final = 30
"""Between two requests on one connection."""

MAX_HEAD_BYTES: Final = 16 * 1024
"""A request's line and headers; one that is longer gets 400."""

_SLICE: Final = 4 * 1024
"""h11 looks at the length of a head only when it has not come to its end: so it gets it in parts.

32 KiB of one-letter headers took it 11 ms (measured)."""

MAX_WEBSOCKET_MESSAGE_BYTES: Final = 4096
"""Those who watch over a WebSocket have nothing to say."""


@dataclass(frozen=True, slots=True)
class ConnectionTimeouts:
    """How long, and for whom."""

    head_s: float
    min_bytes_per_s: float


class HttpConfig(uvicorn.Config):
    """How the HTTP door runs on uvicorn."""

    def __init__(self, app: ASGIApp, patience: ConnectionTimeouts, *, drain_s: float) -> None:
        super().__init__(
            app,
            http=TimeoutH11Protocol,
            ws=TimeoutWebSocketProtocol,
            log_config=None,
            access_log=False,
            proxy_headers=False,  # trusts any local client; see `TrustedProxies`
            lifespan="off",
            ws_max_size=MAX_WEBSOCKET_MESSAGE_BYTES,
            ws_per_message_deflate=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=max(1, round(drain_s)),
            h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        )
        self.patience = patience


class _Watched(asyncio.Protocol):
    """A protocol whose peer is cut off if it does not take what is written for it."""

    _uptake: WriteWatchdog | None = None

    def _watch_uptake(self, transport: asyncio.Transport, patience: ConnectionTimeouts) -> None:
        """To be called when there is a connection."""
        self._uptake = WriteWatchdog(transport, patience.min_bytes_per_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is left who could take anything."""
        self.resume_writing()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The peer does not take it at once."""
        super().pause_writing()
        if self._uptake is not None:
            self._uptake.pause()

    def resume_writing(self) -> None:
        """It has taken it."""
        super().resume_writing()
        if self._uptake is not None:
            self._uptake.resume()


class StrictConnection(h11.Connection):
    """A parser that refuses a request whose end two parties could see in different places."""

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Return the next event; raise RemoteProtocolError for a request with two lengths.

        h11 by itself reads such a request by its Transfer-Encoding and keeps the connection.
        RFC 9112, 6.1: "A server MAY reject a request that contains both Content-Length and
        Transfer-Encoding [...] Regardless, the server MUST close the connection after responding
        to such a request to avoid the potential attacks."
        """
        event = super().next_event()
        if isinstance(event, h11.Request):
            names = {name for name, _ in event.headers}
            if {b"content-length", b"transfer-encoding"} <= names:
                raise h11.RemoteProtocolError("both Content-Length and Transfer-Encoding")
        return event


class TimeoutH11Protocol(_Watched, H11Protocol):
    """HTTP/1.1 for clients that mean it."""

    def __init__(
        self,
        config: HttpConfig,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn = StrictConnection(h11.SERVER, MAX_HEAD_BYTES)
        self._patience = config.patience
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """A peer is there: now it has to say what it wants."""
        super().connection_made(transport)
        self._watch_uptake(transport, self._patience)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Feed h11, in parts while it waits for a head, and mind the clock."""
        while data and self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            super().data_received(data[:_SLICE])
            data = data[_SLICE:]
        if data and not self.transport.is_closing():
            super().data_received(data)
        self._watch()

    def send_400_response(self, msg: str) -> None:
        """Answer a request that is none, unless its answer has begun: a chunk may be damaged."""
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            super().send_400_response(msg)
        else:
            self.transport.abort()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection over, with nothing of ours left on it."""
        if self._uptake is not None:
            self._uptake.resume()
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is left to wait for."""
        self._forgive()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Give a peer a deadline while it has to send something that no route waits for.

        That is the head of a request, or the rest of one that has its answer already. Between two
        requests uvicorn's own timer runs.
        """
        owes = self.conn.their_state is h11.IDLE or self.conn.our_state is h11.DONE
        if not owes or self.transport.is_closing():
            self._forgive()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(
                self._patience.head_s, self.timeout_keep_alive_handler
            )

    def _forgive(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class TimeoutWebSocketProtocol(_Watched, WebSocketsSansIOProtocol):
    """A WebSocket whose reader reads."""

    def __init__(
        self,
        config: HttpConfig,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._patience = config.patience

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection has been handed over."""
        super().connection_made(transport)
        self._watch_uptake(self.transport, self._patience)

    def data_received(self, data: bytes) -> None:
        """Answer, but not without bound: every ping is worth a pong."""
        super().data_received(data)
        if self.transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self.transport.abort()

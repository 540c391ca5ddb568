"""uvicorn's protocols with timeouts for request heads, slow readers and rejected bodies.

uvicorn itself waits for the head of a request for ever (measured: 150 of 150 slow sockets open
after 45 s), reads a request's body after its response for as long as the client sends, and keeps a
response in memory until it is read.
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
"""A peer that reads nothing at all is disconnected after this time."""

MAX_UNSENT_BYTES: Final = 4 * 2**20
"""Unsent bytes of a WebSocket, such as the pongs for a client that pings and never reads."""

KEEP_ALIVE_S: Final = 30
"""Between two requests on one connection."""

MAX_HEAD_BYTES: Final = 16 * 1024
"""A request's line and headers; a longer head gets 400."""

_SLICE: Final = 4 * 1024
"""Bytes of a head that h11 gets at once: it checks the length only of an incomplete head.

32 KiB of one-letter headers took it 11 ms (measured)."""

MAX_WEBSOCKET_MESSAGE_BYTES: Final = 4096
"""Clients only watch over these WebSockets, so their messages are ignored."""


class WriteWatchdog:
    """Aborts a connection whose peer reads more slowly than `min_bytes_per_s`.

    Its transport calls `pause` and `resume`. The watchdog gives the transport no buffer, so that
    it pauses whenever there are unsent bytes.
    """

    def __init__(self, transport: asyncio.Transport, min_bytes_per_s: float) -> None:
        transport.set_write_buffer_limits(high=0)
        self._transport = transport
        self._min_bytes = min_bytes_per_s * WRITE_CHECK_INTERVAL_S
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._n_unread = 0

    def pause(self) -> None:
        """Start to watch: there are unsent bytes."""
        self._n_unread = self._count_unread()
        self._timer = self._loop.call_later(WRITE_CHECK_INTERVAL_S, self._check)

    def resume(self) -> None:
        """Stop watching: all bytes are sent, or the connection is lost."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        n_unread = self._count_unread()
        if self._n_unread - n_unread < self._min_bytes:
            self._transport.abort()
            return
        self._n_unread = n_unread
        self._timer = self._loop.call_later(WRITE_CHECK_INTERVAL_S, self._check)

    def _count_unread(self) -> int:
        """Return the bytes in the transport's buffer and in the kernel's, which holds megabytes.

        The kernel's are the unacknowledged ones; they count as 0 elsewhere than on Linux.
        """
        n_bytes = struct.pack("i", 0)
        with suppress(OSError):
            descriptor = self._transport.get_extra_info("socket").fileno()
            n_bytes = fcntl.ioctl(descriptor, termios.TIOCOUTQ, n_bytes)
        (n_unacknowledged,) = struct.unpack("i", n_bytes)
        return self._transport.get_write_buffer_size() + int(n_unacknowledged)


@dataclass(frozen=True, slots=True)
class ConnectionTimeouts:
    """Limits on a client that is slow to send a head or to read a response."""

    head_s: float
    min_bytes_per_s: float


class HttpConfig(uvicorn.Config):
    """uvicorn's configuration of the HTTP server."""

    def __init__(self, app: ASGIApp, timeouts: ConnectionTimeouts, *, drain_s: float) -> None:
        super().__init__(
            app,
            http=TimeoutH11Protocol,
            ws=TimeoutWebSocketProtocol,
            log_config=None,  # logs are configured in `telemetry.logging`
            access_log=False,  # see `AccessLogMiddleware`
            proxy_headers=False,  # uvicorn would trust any local process; see `Proxies`
            lifespan="off",  # `server.app` opens and closes all resources
            ws_max_size=MAX_WEBSOCKET_MESSAGE_BYTES,
            ws_per_message_deflate=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            # uvicorn takes whole seconds.
            timeout_graceful_shutdown=max(1, round(drain_s)),
            h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        )
        self.timeouts = timeouts


class _WatchedProtocol(asyncio.Protocol):
    """A protocol with a write watchdog, which starts with `_start_watchdog`."""

    _watchdog: WriteWatchdog | None = None

    def _start_watchdog(self, transport: asyncio.Transport, timeouts: ConnectionTimeouts) -> None:
        self._watchdog = WriteWatchdog(transport, timeouts.min_bytes_per_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the watchdog."""
        self.resume_writing()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Watch how fast the peer reads."""
        super().pause_writing()
        if self._watchdog is not None:
            self._watchdog.pause()

    def resume_writing(self) -> None:
        """Stop watching."""
        super().resume_writing()
        if self._watchdog is not None:
            self._watchdog.resume()


class StrictConnection(h11.Connection):
    """A parser that refuses a request with two lengths, which proxies may split differently."""

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


class TimeoutH11Protocol(_WatchedProtocol, H11Protocol):
    """HTTP/1.1 with a timeout for request heads and a write watchdog."""

    def __init__(
        self,
        config: HttpConfig,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        # Replaces the parser that uvicorn has just created.
        self.conn = StrictConnection(h11.SERVER, MAX_HEAD_BYTES)
        self._timeouts = config.timeouts
        self._timeout: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Start the watchdog, and the timeout of the first head."""
        super().connection_made(transport)
        self._start_watchdog(transport, self._timeouts)
        self._update_timeout()

    def data_received(self, data: bytes) -> None:
        """Feed h11, in slices while it waits for a head, and update the timeout."""
        while data and self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            super().data_received(data[:_SLICE])
            data = data[_SLICE:]
        if data and not self.transport.is_closing():
            super().data_received(data)
        self._update_timeout()

    def send_400_response(self, msg: str) -> None:
        """Answer an invalid request, or abort if a response has begun: a chunk may be damaged."""
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            super().send_400_response(msg)
        else:
            self.transport.abort()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Stop this protocol's watchdog and hand the connection over."""
        if self._watchdog is not None:  # the WebSocket's protocol starts its own
            self._watchdog.resume()
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timeout."""
        self._cancel_timeout()
        super().connection_lost(exc)

    def _update_timeout(self) -> None:
        """Run the timeout while the peer has to send something that no route waits for.

        That is the head of a request, or the rest of one that has its response already. Between two
        requests uvicorn's own timer runs.
        """
        is_waiting = self.conn.their_state is h11.IDLE or self.conn.our_state is h11.DONE
        if not is_waiting or self.transport.is_closing():
            self._cancel_timeout()
        elif self._timeout is None:
            # uvicorn's handler of idle connections, which closes them without a response.
            self._timeout = self.loop.call_later(
                self._timeouts.head_s, self.timeout_keep_alive_handler
            )

    def _cancel_timeout(self) -> None:
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None


class TimeoutWebSocketProtocol(_WatchedProtocol, WebSocketsSansIOProtocol):
    """A WebSocket with a write watchdog and a bound on unsent bytes."""

    def __init__(
        self,
        config: HttpConfig,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._timeouts = config.timeouts

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the watchdog."""
        super().connection_made(transport)
        self._start_watchdog(self.transport, self._timeouts)

    def data_received(self, data: bytes) -> None:
        """Process the data; abort when too much is unsent, because every ping is answered."""
        super().data_received(data)
        if self.transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self.transport.abort()

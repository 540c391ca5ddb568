"""Listening sockets that limit the number of connections, from one address and in total.

A connection is counted from its acceptance to its close, also while it is silent or in the middle
of a TLS handshake. One too many is answered and closed at once, before any protocol object is made
for it.
"""

import socket
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import structlog

from whisperlive_hybrid.auth.network import subscriber

BACKLOG: Final = 128
"""Connections that the kernel queues for a listening socket."""

_LOG_INTERVAL_S: Final = 60.0
"""Refusals come in thousands, so the log has their number at most once in this time."""

_BODY: Final = (
    b'{"error":{"message":"Too many connections.","type":"requests","param":null,'
    b'"code":"rate_limit_exceeded"}}'
)
_HEAD: Final = (
    b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
    b"retry-after: 10\r\nconnection: close\r\n\r\n"
)
TOO_MANY_OF_ADDRESS: Final = _HEAD % (b"429 Too Many Requests", len(_BODY)) + _BODY
TOO_MANY: Final = _HEAD % (b"503 Service Unavailable", len(_BODY)) + _BODY
"""The live protocol begins with HTTP too, so clients of both servers understand these answers."""

log = structlog.get_logger(__name__)


class ConnectionLimiter:
    """Counts the open connections of all servers and refuses one too many."""

    def __init__(
        self,
        per_address: int,
        total: int,
        is_exempt: Callable[[str], bool] = lambda _address: False,
        clock: Callable[[], float] = time.monotonic,
        on_refusal: Callable[[], None] = lambda: None,
    ) -> None:
        """`is_exempt` returns whether an address may exceed its limit, as trusted proxies may."""
        self._on_refusal = on_refusal
        self._per_address = per_address
        self._total = total
        self._is_exempt = is_exempt
        self._clock = clock
        self._open: Counter[str] = Counter()
        self._n_open = 0
        self.n_refused = 0
        self._next_log_at = 0.0

    @property
    def n_open(self) -> int:
        """Number of open connections."""
        return self._n_open

    @property
    def n_addresses(self) -> int:
        """Number of addresses with an open connection."""
        return len(self._open)

    def refusal(self, address: str) -> bytes | None:
        """Return the HTTP response to one connection too many; None for one within the limits."""
        if self._n_open >= self._total:
            return TOO_MANY
        if self._open[subscriber(address)] >= self._per_address and not self._is_exempt(address):
            return TOO_MANY_OF_ADDRESS
        return None

    def add(self, address: str) -> None:
        """Count a connection."""
        self._open[subscriber(address)] += 1
        self._n_open += 1

    def remove(self, address: str) -> None:
        """Stop counting a connection."""
        key = subscriber(address)
        self._open[key] -= 1
        self._n_open -= 1
        if not self._open[key]:
            del self._open[key]  # or every address ever seen would stay in memory

    def record_refusal(self, address: str) -> None:
        """Count a refusal, and log the number from time to time."""
        self.n_refused += 1
        self._on_refusal()
        if self._clock() >= self._next_log_at:
            self._next_log_at = self._clock() + _LOG_INTERVAL_S
            log.warning("connections refused", address=address, so_far=self.n_refused)


class LimitedListener(socket.socket):
    """A listening socket that accepts only connections within the limits."""

    def __init__(
        self, listening: socket.socket, limiter: ConnectionLimiter, *, speaks_tls: bool
    ) -> None:
        """Take over `listening`; with TLS a refused connection is closed without a response."""
        super().__init__(
            listening.family, listening.type, listening.proto, fileno=listening.detach()
        )
        self._limiter = limiter
        self._speaks_tls = speaks_tls

    def accept(self) -> tuple[socket.socket, Any]:
        """Return the next connection; raise `ConnectionAbortedError` for a refused one.

        The kernel reports the same for a connection that has gone before it was accepted, and
        event loops continue with the next one.
        """
        accepted, peer = super().accept()
        address: str = peer[0]
        if response := self._limiter.refusal(address):
            self._limiter.record_refusal(address)
            with accepted, suppress(OSError):
                # This runs on the event loop, which must not wait for a slow client.
                accepted.setblocking(False)
                if not self._speaks_tls:  # an HTTP response is no TLS record
                    accepted.send(response)
            raise ConnectionAbortedError
        return CountedSocket(accepted, self._limiter, address), peer


class CountedSocket(socket.socket):
    """A connection that is counted until it is closed."""

    def __init__(self, accepted: socket.socket, limiter: ConnectionLimiter, address: str) -> None:
        """Take over `accepted`."""
        super().__init__(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        self._limiter = limiter
        self._address = address
        self._is_counted = True
        limiter.add(address)

    def close(self) -> None:
        """Close the connection and stop counting it; may be called more than once."""
        if self._is_counted:
            self._is_counted = False
            self._limiter.remove(self._address)
        super().close()


def listen(
    host: str, port: int, limiter: ConnectionLimiter, *, speaks_tls: bool = False
) -> LimitedListener:
    """Listen on an address of a host name, IPv4 before IPv6; raise `OSError`."""
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = min(addresses, key=lambda info: info[0] != socket.AF_INET)
    listening = socket.create_server(address[:2], family=family, backlog=BACKLOG)
    # asyncio does this only for sockets that it has made itself. Without it the body of a response
    # waits for the client's delayed acknowledgement of its head: 40 ms for every response but the
    # first of a connection. Connections inherit it.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return LimitedListener(listening, limiter, speaks_tls=speaks_tls)

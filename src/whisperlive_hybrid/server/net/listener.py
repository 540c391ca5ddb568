"""Sockets that listen, and how many connections they let in: from each address, and altogether.

A connection is counted from its acceptance to its close, so also while it says nothing or is in
the middle of a TLS handshake. What is too much is told so and closed at once, before any object of
a protocol is made for it.
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
"""Connections that the kernel keeps for a door."""

_TOLD_EVERY_S: Final = 60.0
"""Refusals are many where there are any: the log tells their number once in this time."""

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
"""Both doors begin with HTTP, so that these answers are understood at both."""

log = structlog.get_logger(__name__)


def no_exemption(_address: str) -> bool:
    """Count every address."""
    return False


def ignored() -> None:
    """Nobody counts."""


class ConnectionLimiter:
    """Counts the open connections of all doors, and says who may not have one more."""

    def __init__(
        self,
        per_address: int,
        altogether: int,
        is_exempt: Callable[[str], bool] = no_exemption,
        clock: Callable[[], float] = time.monotonic,
        on_refusal: Callable[[], None] = ignored,
    ) -> None:
        """`is_exempt` knows the addresses behind which there are many, those of trusted proxies."""
        self._on_refusal = on_refusal
        self._per_address = per_address
        self._altogether = altogether
        self._is_exempt = is_exempt
        self._clock = clock
        self._open: Counter[str] = Counter()
        self._n_open = 0
        self.n_refused = 0
        self._silent_until = 0.0

    @property
    def n_open(self) -> int:
        """Connections that are open now."""
        return self._n_open

    @property
    def n_addresses(self) -> int:
        """Addresses that have one."""
        return len(self._open)

    def refusal(self, address: str) -> bytes | None:
        """What to answer to a connection that is one too many; None for one that may come in."""
        if self._n_open >= self._altogether:
            return TOO_MANY
        if self._open[subscriber(address)] >= self._per_address and not self._is_exempt(address):
            return TOO_MANY_OF_ADDRESS
        return None

    def enter(self, address: str) -> None:
        """Count a connection."""
        self._open[subscriber(address)] += 1
        self._n_open += 1

    def leave(self, address: str) -> None:
        """Count it no more."""
        key = subscriber(address)
        self._open[key] -= 1
        self._n_open -= 1
        if not self._open[key]:
            del self._open[key]  # or each address that ever came would stay

    def refused(self, address: str) -> None:
        """Note a refusal, and tell the operator now and then."""
        self.n_refused += 1
        self._on_refusal()
        if self._clock() >= self._silent_until:
            self._silent_until = self._clock() + _TOLD_EVERY_S
            log.warning("connections refused", address=address, so_far=self.n_refused)


class LimitedListener(socket.socket):
    """A listening socket that lets in whom the census allows."""

    def __init__(
        self, listening: socket.socket, census: ConnectionLimiter, *, speaks_tls: bool
    ) -> None:
        """Take over `listening`; where TLS is spoken a refusal is no more than a close."""
        super().__init__(
            listening.family, listening.type, listening.proto, fileno=listening.detach()
        )
        self._census = census
        self._speaks_tls = speaks_tls

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection; raises `ConnectionAbortedError` for one that is not let in.

        It is what the kernel says of a connection that has gone before it was accepted, and event
        loops go on to the next.
        """
        accepted, peer = super().accept()
        address: str = peer[0]
        if answer := self._census.refusal(address):
            self._census.refused(address)
            self._dismiss(accepted, answer)
            raise ConnectionAbortedError
        return CountedSocket(accepted, self._census, address), peer

    def _dismiss(self, accepted: socket.socket, answer: bytes) -> None:
        with accepted, suppress(OSError):
            accepted.setblocking(False)
            if not self._speaks_tls:
                accepted.send(answer)


class CountedSocket(socket.socket):
    """A connection that is counted until it is closed."""

    def __init__(self, accepted: socket.socket, census: ConnectionLimiter, address: str) -> None:
        """Take over `accepted`."""
        super().__init__(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        self._census = census
        self._address = address
        self._is_counted = True
        census.enter(address)

    def close(self) -> None:
        """Close, and be counted no more."""
        if self._is_counted:
            self._is_counted = False
            self._census.leave(self._address)
        super().close()


def listen(
    host: str, port: int, census: ConnectionLimiter, *, speaks_tls: bool = False
) -> LimitedListener:
    """Listen on an address that a host name has, IPv4 before IPv6; raises `OSError`."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
    listening = socket.create_server(address[:2], family=family, backlog=BACKLOG)
    # asyncio does so only for sockets that it has made itself; without it a reply's body waits
    # for the client's delayed acknowledgement of its head: 40 ms for each but a connection's
    # first. Connections inherit it.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return LimitedListener(listening, census, speaks_tls=speaks_tls)

"""Whether a peer takes what is written for it; one that does not is cut off.

An answer waits in memory until its client has read it, and a connection that is to be closed stays
open as long: for ever, where a client reads nothing. TCP does not mind.
"""

import asyncio
import fcntl
import struct
import termios
from contextlib import suppress
from typing import Final

LOOK_EVERY_S: Final = 30.0
"""For so long a peer may take nothing at all."""

MOST_UNSENT: Final = 4 * 2**20
"""Bytes that may wait while more is asked for: pongs for a client that pings and reads nothing."""


class Uptake:
    """Watches one connection; `pause` and `resume` are told by its transport.

    The transport must have no room for unsent bytes, so that it pauses whenever there are any.
    """

    def __init__(self, transport: asyncio.Transport, min_bytes_per_s: float) -> None:
        transport.set_write_buffer_limits(high=0)
        self._transport = transport
        self._least = min_bytes_per_s * LOOK_EVERY_S
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._left = 0

    def pause(self) -> None:
        """Bytes wait for the peer."""
        self._left = self._waiting()
        self._timer = self._loop.call_later(LOOK_EVERY_S, self._look)

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
        self._timer = self._loop.call_later(LOOK_EVERY_S, self._look)

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

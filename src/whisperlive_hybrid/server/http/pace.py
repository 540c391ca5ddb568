"""How slowly an upload may come: bounded in silence, on average, and altogether."""

import math
import time
from collections.abc import Callable
from typing import Final

import anyio
from starlette.types import Message, Receive

from whisperlive_hybrid.errors import Stalled

SILENT_S: Final = 60.0
"""A body of which nothing comes for so long is given up."""

GRACE_S: Final = 30.0
"""Of waiting that is forgiven before the average counts."""


class Pace:
    """The pace of one upload.

    On average only the time counts in which we waited for the client: what we do with its bytes,
    however slow, is not its fault. The limit on the whole is by the clock.
    """

    def __init__(
        self,
        min_bytes_per_s: float,
        longest_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._min_bytes_per_s = min_bytes_per_s
        self._longest_s = longest_s
        self._clock = clock
        self._ends_at = math.inf
        self._waited_s = 0.0
        self._n_bytes = 0

    async def next(self, receive: Receive) -> Message:
        """The next part of the body; raises `Stalled` if it does not come in time."""
        began = self._clock()
        self._ends_at = min(self._ends_at, began + self._longest_s)
        with anyio.move_on_after(max(0.0, self._patience_s(began))):
            message = await receive()
            self._waited_s += self._clock() - began
            self._n_bytes += len(message.get("body", b""))
            return message
        raise Stalled(self._reason(self._clock() - began))

    def _patience_s(self, now: float) -> float:
        """How long to wait for the next byte."""
        earned_s = GRACE_S + self._n_bytes / self._min_bytes_per_s
        return min(SILENT_S, earned_s - self._waited_s, self._ends_at - now)

    def _reason(self, silent_s: float) -> str:
        """Which of the limits it was."""
        if self._clock() >= self._ends_at:
            return f"The request's body did not come to its end in {self._longest_s:g} seconds."
        if silent_s >= SILENT_S:
            return f"Nothing of the request's body has come for {SILENT_S:g} seconds."
        return (
            f"The request's body comes too slowly: {self._n_bytes} bytes in "
            f"{self._waited_s + silent_s:.0f} seconds, at least {self._min_bytes_per_s:g} a second "
            "are expected."
        )

"""Wrong keys: how many an address may show before their refusals are held back."""

from collections.abc import Callable
from typing import Final

from whisperlive_hybrid.access.addresses import subscriber
from whisperlive_hybrid.access.buckets import RequestBuckets

PAUSE_S: Final = 1.0
"""Before a refusal that is held back: two thousand times what it costs, and nothing to a person who
has mistyped a key."""


class WrongKeys:
    """How often each address has shown one lately; right keys are no matter of it.

    So whoever shares an address with somebody who guesses, as all behind a proxy may, feels nothing
    of it.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        """`per_minute` are refused at once, as a bucket counts them; the clock is in seconds."""
        self._per_minute = per_minute
        self._clock = clock
        self._buckets = RequestBuckets()

    def pause_s(self, address: str) -> float:
        """Note that an address has shown one; return for how many seconds to hold the refusal."""
        wait = self._buckets.take(subscriber(address), self._per_minute, self._clock())
        return PAUSE_S if wait else 0.0

"""Rate limits in requests per minute: a bucket per account, which a minute refills evenly."""

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

MINUTE_S: Final = 60.0

MAX_ACCOUNTS: Final = 100_000
"""Accounts in memory (240 bytes each, measured). Beyond it, the least recently used one is dropped
and starts with a full bucket again."""

_TOLERANCE: Final = 1e-3
"""Rounding error in parts of a request: Unix time in a float has steps of 0.2 µs."""


@dataclass(frozen=True, slots=True)
class RateLimitStatus:
    """What one account has left of a limit."""

    limit: float
    remaining: float
    reset_s: float
    """Seconds until the whole limit is available again."""


@dataclass(slots=True)
class _Bucket:
    """Requests that count against the limit at the time `at`."""

    used: float
    at: float

    def count_at(self, now: float, per_minute: int) -> float:
        """Return the requests that still count; a clock that was set back refills nothing."""
        elapsed = max(0.0, now - self.at)
        return max(0.0, self.used - elapsed * per_minute / MINUTE_S)


class RateLimiter:
    """Limits requests per account; `now` is in seconds, on any clock."""

    def __init__(self, max_accounts: int = MAX_ACCOUNTS) -> None:
        self._max_accounts = max_accounts
        # In the order of their last request, so that the oldest are found without a search.
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        """Accounts in memory."""
        return len(self._buckets)

    def take(self, account: str, per_minute: int, now: float) -> float:
        """Count a request and return 0.0, or return the seconds until one is available."""
        used = self._count(account, per_minute, now)
        missing = used + 1 - per_minute
        if missing > _TOLERANCE:
            return missing * MINUTE_S / per_minute
        self._buckets[account] = _Bucket(used + 1, now)
        self._buckets.move_to_end(account)
        # Drop the oldest buckets that are full again (all are after a minute) or beyond the bound.
        # Only two per request: dropping a whole flood at once would block the event loop for 30 ms.
        for _ in range(2):
            oldest, bucket = next(iter(self._buckets.items()))
            if now - bucket.at < MINUTE_S and len(self._buckets) <= self._max_accounts:
                break
            del self._buckets[oldest]
        return 0.0

    def status(self, account: str, per_minute: int, now: float) -> RateLimitStatus:
        """Return what an account has left."""
        used = self._count(account, per_minute, now)
        # Whole requests, as OpenAI reports them; the tolerance as in `take`.
        remaining = max(0, int(per_minute - used + _TOLERANCE))
        return RateLimitStatus(per_minute, remaining, used * MINUTE_S / per_minute)

    def _count(self, account: str, per_minute: int, now: float) -> float:
        bucket = self._buckets.get(account)
        return bucket.count_at(now, per_minute) if bucket else 0.0


def format_duration(seconds: float) -> str:
    """Format seconds as OpenAI's headers do ("250ms", "59s", "1h0m5s"), in Go's units.

    Rounded up, to 1 ms below 1 s and to 1 s above, so that a client never retries too early.
    """
    if seconds < 1:
        milliseconds = math.ceil(max(0.0, seconds) * 1000 - 1e-6)
        return f"{milliseconds}ms" if 0 < milliseconds < 1000 else f"{milliseconds // 1000}s"
    minutes, rest = divmod(math.ceil(seconds - 1e-6), 60)
    if not minutes:
        return f"{rest}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s"

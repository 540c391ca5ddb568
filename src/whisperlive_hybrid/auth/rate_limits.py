"""Requests per minute, as buckets: so many at once, and then one whenever one more has run in."""

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

MINUTE_S: Final = 60.0

MOST_ACCOUNTS: Final = 100_000
"""Accounts that are remembered (240 bytes each, measured); past it the one not seen for longest
begins anew."""

_EXACT: Final = 1e-3
"""Parts of a request that floats may be wrong by: Unix time as one has steps of 0.2 µs."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one account may still take of something."""

    limit: float
    remaining: float
    reset_s: float
    """Until all of the limit is there again."""


@dataclass(slots=True)
class _Bucket:
    """How many requests were taken and are not made up for yet, at a moment."""

    used: float
    at: float

    def used_by(self, now: float, per_minute: int) -> float:
        """The same at a later moment; a clock that was set back makes up for nothing."""
        elapsed = max(0.0, now - self.at)
        return max(0.0, self.used - elapsed * per_minute / MINUTE_S)


class RequestBuckets:
    """The bucket of every account; `now` is in seconds, on any clock."""

    def __init__(self, most_accounts: int = MOST_ACCOUNTS) -> None:
        self._most = most_accounts
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        """Accounts that are remembered."""
        return len(self._buckets)

    def take(self, account: str, per_minute: int, now: float) -> float:
        """Take a request; return 0, or the seconds until there is one to take."""
        used = self._used(account, per_minute, now)
        missing = used + 1 - per_minute
        if missing > _EXACT:
            return missing * MINUTE_S / per_minute
        self._buckets[account] = _Bucket(used + 1, now)
        self._buckets.move_to_end(account)
        self._forget(now)
        return 0.0

    def allowance(self, account: str, per_minute: int, now: float) -> Allowance:
        """What an account may still take."""
        used = self._used(account, per_minute, now)
        remaining = max(0, int(per_minute - used + _EXACT))
        return Allowance(per_minute, remaining, used * MINUTE_S / per_minute)

    def _used(self, account: str, per_minute: int, now: float) -> float:
        bucket = self._buckets.get(account)
        return bucket.used_by(now, per_minute) if bucket else 0.0

    def _forget(self, now: float) -> None:
        """Forget the oldest that are full again, as all are after a minute, or one too many.

        Two at a time: a whole flood of them at once would hold up the event loop for 30 ms.
        """
        for _ in range(2):
            account, bucket = next(iter(self._buckets.items()))
            if now - bucket.at < MINUTE_S and len(self._buckets) <= self._most:
                return
            del self._buckets[account]


def short(seconds: float) -> str:
    """A length of time, rounded up so that nobody comes too early: to 1 ms, or from 1 s on to 1 s.

    Units as OpenAI's, which are those of Go: all below the greatest are written.
    """
    if seconds < 1:
        milliseconds = math.ceil(max(0.0, seconds) * 1000 - 1e-6)
        return f"{milliseconds}ms" if 0 < milliseconds < 1000 else f"{milliseconds // 1000}s"
    minutes, rest = divmod(math.ceil(seconds - 1e-6), 60)
    if not minutes:
        return f"{rest}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s"

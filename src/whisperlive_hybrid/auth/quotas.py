"""Quotas of callers: requests per minute, seconds of audio per day, live streams at once.

One `Quotas` counts for all servers, so that a caller has one quota over HTTP, live and jobs.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from whisperlive_hybrid.auth.caller import Caller, Limits
from whisperlive_hybrid.auth.rate_limits import RateLimiter, RateLimitStatus, format_duration
from whisperlive_hybrid.auth.usage import DailyUsage, Usage, seconds_until_midnight
from whisperlive_hybrid.errors import DayUsedUp, LimitReached

Amount = TypeVar("Amount", int, float)


@dataclass(frozen=True, slots=True)
class QuotaStatus:
    """What a caller has left; None where nothing is limited."""

    requests: RateLimitStatus | None
    audio_s: RateLimitStatus | None


class Quotas:
    """Checks limits and counts usage, in memory; no method waits.

    Limits are checked before work starts and usage is counted as it becomes known. Work that has
    started is not interrupted, so the last file of a day may exceed the quota.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        """`limits` apply where a key has none of its own; `clock` gives Unix seconds."""
        self._limits = limits
        self._clock = clock
        self._requests = RateLimiter()
        self._streams: dict[str, list[float]] = {}
        """By account: the latest end of each open stream, Unix seconds."""
        # Public, since `UsageRecorder` saves and restores it.
        self.usage = DailyUsage()

    def admit(self, caller: Caller) -> None:
        """Count a request for work; raises `LimitReached`."""
        self._admit(caller, self._check_audio(caller))

    @contextmanager
    def open_stream(self, caller: Caller, max_s: float) -> Iterator[None]:
        """Count a live stream of at most `max_s` while inside; it counts as a request too.

        Raises `LimitReached`.
        """
        # Nothing waits between the check and the count, so two simultaneous streams cannot both be
        # the last one.
        self._admit(caller, self._check_streams(caller) or self._check_audio(caller), streams=1)
        until = self._clock() + max_s
        self._streams.setdefault(caller.account, []).append(until)
        try:
            yield
        finally:
            # No empty lists are left behind: memory holds only accounts with open streams.
            self._streams[caller.account].remove(until)
            if not self._streams[caller.account]:
                del self._streams[caller.account]

    def check_audio(self, caller: Caller) -> None:
        """Raise `DayUsedUp` if a caller may start no more files today."""
        if error := self._check_audio(caller):
            raise error

    def has_audio_left(self, caller: Caller) -> bool:
        """Return True if a live stream of `caller` may continue."""
        return self._check_audio(caller) is None

    def add(self, account: str, usage: Usage) -> None:
        """Add usage of an account, at the current time."""
        self.usage.add(account, usage, self._clock())

    def limits_of(self, caller: Caller) -> Limits:
        """Return the limits of a caller: those of its key, else the server's."""
        own, default = caller.key.limits if caller.key else Limits(), self._limits
        return Limits(
            _effective(own.requests_per_minute, default.requests_per_minute),
            _effective(own.audio_s_per_day, default.audio_s_per_day),
            _effective(own.live_streams, default.live_streams),
        )

    def status(self, caller: Caller) -> QuotaStatus:
        """Return what a caller has left, for the headers of its responses."""
        limits, now = self.limits_of(caller), self._clock()
        requests = audio_s = None
        if limits.requests_per_minute is not None:
            requests = self._requests.status(caller.account, limits.requests_per_minute, now)
        if limits.audio_s_per_day is not None:
            limit = limits.audio_s_per_day
            remaining = max(0.0, limit - self.usage.audio_s(caller.account, now))
            audio_s = RateLimitStatus(limit, remaining, seconds_until_midnight(now))
        return QuotaStatus(requests, audio_s)

    def _admit(self, caller: Caller, error: LimitReached | None, *, streams: int = 0) -> None:
        # The rate limit comes last: a request that is rejected for another reason costs none of it.
        error = error or self._take_request(caller)
        if error is not None:
            self.add(caller.account, Usage(refused=1))
            raise error
        self.add(caller.account, Usage(requests=1, streams=streams))

    def _take_request(self, caller: Caller) -> LimitReached | None:
        limit = self.limits_of(caller).requests_per_minute
        if limit is None:
            return None
        wait_s = self._requests.take(caller.account, limit, self._clock())
        if not wait_s:
            return None
        return LimitReached(
            f"Rate limit reached: {limit} requests per minute. "
            f"Try again in {format_duration(wait_s)}.",
            retry_after_s=wait_s,
        )

    def _check_audio(self, caller: Caller) -> DayUsedUp | None:
        limit, now = self.limits_of(caller).audio_s_per_day, self._clock()
        if limit is None or (used := self.usage.audio_s(caller.account, now)) < limit:
            return None
        wait_s = seconds_until_midnight(now)
        return DayUsedUp(
            f"Daily limit reached: {limit:g} seconds of audio per day, and {used:.1f} were read "
            f"today. Try again at 00:00 UTC, in {format_duration(wait_s)}.",
            retry_after_s=wait_s,
        )

    def _check_streams(self, caller: Caller) -> LimitReached | None:
        limit, ends = self.limits_of(caller).live_streams, self._streams.get(caller.account, [])
        if limit is None or len(ends) < limit:
            return None
        # Streams may end earlier; this is the latest time at which one is free.
        wait_s = max(0.0, min(ends) - self._clock())
        return LimitReached(
            f"Limit of live streams reached: {limit} at once. Try again when one has ended, in "
            f"{format_duration(wait_s)} at the latest.",
            retry_after_s=wait_s,
        )


def _effective(own: Amount | None, default: Amount | None) -> Amount | None:
    """Return the limit that applies; 0 means unlimited, also where the default is a limit."""
    return (default if own is None else own) or None


class UsageMeter:
    """Adds the usage of one recording as its transcription advances, no second of it twice."""

    def __init__(self, quotas: Quotas, account: str, done: float = 0.0) -> None:
        """`done` is the recording time, in seconds, up to which usage was counted before."""
        self._quotas = quotas
        self._account = account
        self._done = done

    def count_to(self, moment: float) -> None:
        """Count everything up to this recording time."""
        if moment > self._done:
            self._quotas.add(self._account, Usage(file_s=moment - self._done))
            self._done = moment

"""Who may have more work, and how much everybody has had: the one counter behind all doors."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from whisperlive_hybrid.auth.caller import Caller, Limits
from whisperlive_hybrid.auth.rate_limits import Allowance, RequestBuckets, short
from whisperlive_hybrid.auth.usage import DayBook, Usage, until_midnight_s
from whisperlive_hybrid.config import Settings
from whisperlive_hybrid.errors import DayUsedUp, LimitReached

Amount = TypeVar("Amount", int, float)


@dataclass(frozen=True, slots=True)
class Allowances:
    """What a caller may still take; None where nothing bounds it."""

    requests: Allowance | None
    audio_s: Allowance | None


def limits_for_all(settings: Settings) -> Limits:
    """The limits of whoever has none of its own."""
    return Limits(
        settings.requests_per_minute, settings.audio_s_per_day, settings.streams_per_caller
    )


class Meter:
    """Decides and counts, in memory and at once; nothing here waits.

    What a caller has begun it may finish: limits are looked at before work, and what it took is
    booked when it is known, so the last file may go beyond.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        """`limits` hold for whoever has none of its own; `clock` tells Unix seconds."""
        self._limits = limits
        self._clock = clock
        self._buckets = RequestBuckets()
        self._streams: dict[str, list[float]] = {}  # until when each may last
        self.book = DayBook()

    def admit(self, caller: Caller) -> None:
        """Count a request for work; raises `LimitReached` if it is one too many."""
        self._pass(caller, self._audio_refusal(caller) or self._request_refusal(caller))
        self.add(caller.account, Usage(requests=1))

    @contextmanager
    def stream(self, caller: Caller, longest_s: float) -> Iterator[None]:
        """Count a live stream, which is a request too, while inside; raises `LimitReached`."""
        refusal = self._stream_refusal(caller) or self._audio_refusal(caller)
        self._pass(caller, refusal or self._request_refusal(caller))
        self.add(caller.account, Usage(requests=1, streams=1))
        until = self._clock() + longest_s
        self._streams.setdefault(caller.account, []).append(until)
        try:
            yield
        finally:
            self._streams[caller.account].remove(until)
            if not self._streams[caller.account]:
                del self._streams[caller.account]

    def check_audio(self, caller: Caller) -> None:
        """Raise `DayUsedUp` if a caller may begin no more files today."""
        if refusal := self._audio_refusal(caller):
            raise refusal

    def has_audio_left(self, caller: Caller) -> bool:
        """Whether a live stream may go on."""
        return self._audio_refusal(caller) is None

    def add(self, account: str, usage: Usage) -> None:
        """Book what an account has taken."""
        self.book.add(account, usage, self._clock())

    def limits_of(self, caller: Caller) -> Limits:
        """What holds for a caller: where its key says nothing, the server's limits."""
        own, general = caller.key.limits if caller.key else Limits(), self._limits
        return Limits(
            _in_force(own.requests_per_minute, general.requests_per_minute),
            _in_force(own.audio_s_per_day, general.audio_s_per_day),
            _in_force(own.live_streams, general.live_streams),
        )

    def allowances(self, caller: Caller) -> Allowances:
        """What a caller may still take, to be told to it."""
        limits, now = self.limits_of(caller), self._clock()
        requests = audio_s = None
        if limits.requests_per_minute is not None:
            requests = self._buckets.allowance(caller.account, limits.requests_per_minute, now)
        if limits.audio_s_per_day is not None:
            remaining = limits.audio_s_per_day - self.book.audio_s(caller.account, now)
            audio_s = Allowance(limits.audio_s_per_day, max(0.0, remaining), until_midnight_s(now))
        return Allowances(requests, audio_s)

    def _pass(self, caller: Caller, refusal: LimitReached | None) -> None:
        if refusal is not None:
            self.add(caller.account, Usage(refused=1))
            raise refusal

    def _request_refusal(self, caller: Caller) -> LimitReached | None:
        """Take a request, or say when there is one to take."""
        limit = self.limits_of(caller).requests_per_minute
        if limit is None:
            return None
        wait_s = self._buckets.take(caller.account, limit, self._clock())
        if not wait_s:
            return None
        return LimitReached(
            f"Rate limit reached: {limit} requests per minute. Try again in {short(wait_s)}.",
            retry_after_s=wait_s,
        )

    def _audio_refusal(self, caller: Caller) -> DayUsedUp | None:
        limit, now = self.limits_of(caller).audio_s_per_day, self._clock()
        if limit is None or (had := self.book.audio_s(caller.account, now)) < limit:
            return None
        wait_s = until_midnight_s(now)
        return DayUsedUp(
            f"Daily limit reached: {limit:g} seconds of audio per day, and {had:.1f} were read "
            f"today. Try again at 00:00 UTC, in {short(wait_s)}.",
            retry_after_s=wait_s,
        )

    def _stream_refusal(self, caller: Caller) -> LimitReached | None:
        limit, is_open = self.limits_of(caller).live_streams, self._streams.get(caller.account, [])
        if limit is None or len(is_open) < limit:
            return None
        wait_s = max(0.0, min(is_open) - self._clock())
        return LimitReached(
            f"Limit of live streams reached: {limit} at once. Try again when one has ended, in "
            f"{short(wait_s)} at the latest.",
            retry_after_s=wait_s,
        )


def _in_force(own: Amount | None, general: Amount | None) -> Amount | None:
    """A limit of a key wins, also with 0, which stands for none."""
    return (general if own is None else own) or None


class FileBooking:
    """Books a recording as far as it is read, and nothing of it twice."""

    def __init__(self, meter: Meter, account: str, done: float = 0.0) -> None:
        """`done` is the recording time up to which it was booked before."""
        self._meter = meter
        self._account = account
        self._done = done

    def read_to(self, moment: float) -> None:
        """All is read up to this recording time."""
        if moment > self._done:
            self._meter.add(self._account, Usage(file_s=moment - self._done))
            self._done = moment

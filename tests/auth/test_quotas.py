"""Quotas of callers and the usage of recordings, with literal clocks."""

import pytest

from whisperlive_hybrid.auth.caller import ApiKey, Caller, Limits
from whisperlive_hybrid.auth.quotas import Quotas, QuotaStatus, UsageMeter
from whisperlive_hybrid.auth.rate_limits import RateLimitStatus
from whisperlive_hybrid.auth.usage import Usage
from whisperlive_hybrid.errors import DayUsedUp, LimitReached

NOON = 1_764_072_000.0
"""2025-11-25 12:00 UTC."""
HALF_A_DAY_S = 12 * 3600
HERE, THERE = Caller("192.0.2.1"), Caller("192.0.2.2")


class Clock:
    """A clock in Unix seconds that a test sets."""

    now = NOON

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def quotas(clock: Clock | None = None, **limits: float) -> Quotas:
    """Quotas with these default limits."""
    return Quotas(Limits(**limits), clock or Clock())  # type: ignore[arg-type]  # whole numbers


def new_usage(of: Quotas) -> Usage:
    """Return the usage since the last call."""
    return sum((row.usage for row in of.usage.take_unsaved()), Usage())


def test_without_limits_all_is_counted_and_nothing_refused() -> None:
    """A server without limits still counts usage."""
    here = quotas()
    for _ in range(1000):
        here.admit(HERE)
    here.add(HERE.account, Usage(file_s=1e6))
    here.check_audio(HERE)
    assert here.status(HERE) == QuotaStatus(None, None)
    assert new_usage(here) == Usage(requests=1000, file_s=1e6)


def test_requests_of_an_account_are_bounded() -> None:
    """The message names the limit, its value and the wait; other accounts are not affected."""
    here = quotas(requests_per_minute=2)
    here.admit(HERE)
    here.admit(HERE)
    with pytest.raises(LimitReached, match=r"2 requests per minute\. Try again in 30s") as refused:
        here.admit(HERE)
    assert refused.value.retry_after_s == 30.0
    here.admit(THERE)
    assert new_usage(here) == Usage(requests=3, refused=1)


def test_a_file_that_has_begun_is_read_to_its_end() -> None:
    """The limit is checked before a file; the next file is rejected until midnight."""
    clock = Clock()
    here = quotas(clock, audio_s_per_day=60.0)
    here.add(HERE.account, Usage(file_s=59.0))
    here.admit(HERE)
    here.add(HERE.account, Usage(file_s=300.0))
    with pytest.raises(DayUsedUp, match=r"60 seconds of audio per day.*359\.0.*00:00 UTC") as spent:
        here.admit(HERE)
    assert spent.value.retry_after_s == HALF_A_DAY_S
    clock.now += HALF_A_DAY_S - 1
    with pytest.raises(DayUsedUp):
        here.check_audio(HERE)
    clock.now += 1
    here.admit(HERE)


def test_a_request_refused_for_the_day_takes_none_of_the_minute() -> None:
    """The rate limit is not used up by it."""
    here = quotas(requests_per_minute=2, audio_s_per_day=60.0)
    here.add(HERE.account, Usage(live_s=60.0))
    for _ in range(5):
        with pytest.raises(DayUsedUp):
            here.admit(HERE)
    assert here.status(HERE).requests == RateLimitStatus(2, 2, 0.0)


def test_a_live_stream_ends_when_its_account_runs_out() -> None:
    """A live stream checks after every frame."""
    here = quotas(audio_s_per_day=60.0)
    here.add(HERE.account, Usage(live_s=59.9))
    assert here.has_audio_left(HERE)
    here.add(HERE.account, Usage(live_s=0.1))
    assert not here.has_audio_left(HERE)
    assert here.has_audio_left(THERE)


def test_streams_of_an_account_are_bounded() -> None:
    """The wait is until the first of its streams must end; a closed stream makes room."""
    clock = Clock()
    here = quotas(clock, live_streams=2)
    with here.open_stream(HERE, 600.0):
        clock.now += 60.0
        with here.open_stream(HERE, 600.0), here.open_stream(THERE, 600.0):
            with (
                pytest.raises(LimitReached, match="2 at once") as refused,
                here.open_stream(HERE, 1.0),
            ):
                pass
            assert refused.value.retry_after_s == 540.0
        with here.open_stream(HERE, 600.0):
            pass
    assert new_usage(here) == Usage(requests=4, refused=1, streams=4)


def test_a_stream_is_a_request() -> None:
    """Repeated connections are limited like repeated requests."""
    here = quotas(requests_per_minute=1)
    with here.open_stream(HERE, 600.0):
        pass
    with pytest.raises(LimitReached, match="1 requests per minute"), here.open_stream(HERE, 600.0):
        pass
    with pytest.raises(LimitReached):
        here.admit(HERE)


def test_the_limits_of_a_key_win() -> None:
    """Higher, lower, or none (0); where a key sets none, the server's limit applies."""
    here = quotas(requests_per_minute=10, audio_s_per_day=60.0, live_streams=1)
    own = Limits(requests_per_minute=500, audio_s_per_day=0)
    key = ApiKey("7f", "captions", own)
    assert here.limits_of(Caller("192.0.2.1", key)) == Limits(500, None, 1)
    assert here.limits_of(HERE) == Limits(10, 60.0, 1)


def test_the_status_of_a_limit() -> None:
    """Limit, remaining amount and time to reset, for the headers."""
    here = quotas(requests_per_minute=60, audio_s_per_day=100.0)
    here.admit(HERE)
    here.add(HERE.account, Usage(file_s=130.0))
    assert here.status(HERE) == QuotaStatus(
        RateLimitStatus(60, 59, 1.0), RateLimitStatus(100.0, 0.0, HALF_A_DAY_S)
    )


def test_every_second_is_counted_once() -> None:
    """Windows arrive in order; one that is repeated (a resumed job) costs nothing."""
    counted = Quotas(Limits(), lambda: NOON)
    meter = UsageMeter(counted, HERE.account)
    for moment in (12.0, 30.0, 12.0, 30.0, 41.5, 41.5):
        meter.count_to(moment)
    assert counted.usage.audio_s(HERE.account, NOON) == 41.5


def test_usage_of_an_earlier_process_is_not_counted_again() -> None:
    """A file that continues after a restart counts from where it stopped."""
    counted = Quotas(Limits(), lambda: NOON)
    meter = UsageMeter(counted, HERE.account, done=30.0)
    meter.count_to(12.0)
    meter.count_to(41.5)
    assert counted.usage.audio_s(HERE.account, NOON) == 11.5

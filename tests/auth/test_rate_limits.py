"""Requests per minute, with literal clocks."""

import random

import pytest

from whisperlive_hybrid.auth.rate_limits import RateLimiter, RateLimitStatus, format_duration


def count_accepted(buckets: RateLimiter, n: int, per_minute: int, now: float) -> int:
    """Return how many of n requests at one time are accepted."""
    return [buckets.take("a", per_minute, now) for _ in range(n)].count(0.0)


def test_a_minute_may_be_used_at_once() -> None:
    """A client may send ten files at once."""
    assert count_accepted(RateLimiter(), 12, 10, now=1000.0) == 10


def test_it_comes_back_evenly() -> None:
    """Ten a minute is one every six seconds; more than a minute of waiting adds nothing."""
    buckets = RateLimiter()
    count_accepted(buckets, 10, 10, now=1000.0)
    assert buckets.take("a", 10, 1000.0) == 6.0
    assert buckets.take("a", 10, 1004.0) == pytest.approx(2.0)
    assert count_accepted(buckets, 3, 10, now=1006.0) == 1
    assert count_accepted(buckets, 12, 10, now=5000.0) == 10


def test_a_request_after_the_returned_wait_is_accepted() -> None:
    """The returned wait is sufficient, whatever the numbers."""
    source = random.Random(7)
    for _ in range(200):
        buckets, per_minute = RateLimiter(), source.randint(1, 5000)
        now = source.uniform(1.7e9, 1.8e9)
        while not (wait_s := buckets.take("a", per_minute, now)):
            now += source.random() * 0.001
        assert not buckets.take("a", per_minute, now + wait_s)


def test_accounts_do_not_share() -> None:
    """One account does not use up the limit of another."""
    buckets = RateLimiter()
    count_accepted(buckets, 10, 10, now=0.0)
    assert buckets.take("b", 10, 0.0) == 0.0


def test_the_status_of_a_limit() -> None:
    """OpenAI's three numbers: limit, remaining, reset."""
    buckets = RateLimiter()
    assert buckets.status("a", 10, 0.0) == RateLimitStatus(10, 10, 0.0)
    count_accepted(buckets, 3, 10, now=0.0)
    assert buckets.status("a", 10, 0.0) == RateLimitStatus(10, 7, 18.0)
    assert buckets.status("a", 10, 5.0) == RateLimitStatus(10, 7, 13.0)
    assert buckets.status("a", 10, 6.0) == RateLimitStatus(10, 8, 12.0)


def test_a_clock_that_is_set_back_blocks_no_account() -> None:
    """It refills nothing, but what was left stays."""
    buckets = RateLimiter()
    count_accepted(buckets, 9, 10, now=10_000.0)
    assert count_accepted(buckets, 3, 10, now=1000.0) == 1
    assert buckets.take("a", 10, 1006.0) == 0.0


def test_full_buckets_are_dropped() -> None:
    """After a minute every bucket is full, so memory holds the accounts of one minute."""
    buckets = RateLimiter()
    for n in range(1000):
        buckets.take(f"address:{n}", 10, now=float(n))
    assert len(buckets) <= 61


def test_memory_is_bounded() -> None:
    """A flood of addresses within a minute drops the oldest."""
    buckets = RateLimiter(max_accounts=100)
    for n in range(1000):
        buckets.take(f"address:{n}", 10, now=0.0)
    assert len(buckets) == 100


def test_a_rejected_request_uses_no_memory() -> None:
    """Repeated requests neither make the wait longer nor evict other accounts."""
    buckets = RateLimiter()
    count_accepted(buckets, 10, 10, now=0.0)
    count_accepted(buckets, 1000, 10, now=3.0)
    assert buckets.take("a", 10, 3.0) == 3.0


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0.0, "0s"),
        (0.024, "24ms"),
        (0.0241, "25ms"),
        (0.9999, "1s"),
        (1.0, "1s"),
        (5.2, "6s"),
        (59.1, "1m0s"),
        (360.0, "6m0s"),
        (3600.0, "1h0m0s"),
        (86_399.2, "24h0m0s"),
    ],
)
def test_it_is_written_as_go_does(seconds: float, written: str) -> None:
    """24ms and 6m0s are OpenAI's examples; rounded up, so that no client retries too early."""
    assert format_duration(seconds) == written

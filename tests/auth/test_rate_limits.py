"""Requests per minute, with literal clocks."""

import random

import pytest

from whisperlive_hybrid.auth.rate_limits import RateLimiter, RateLimitStatus


def taken(buckets: RateLimiter, n: int, per_minute: int, now: float) -> int:
    """How many of n requests at one moment were taken."""
    return [buckets.take("a", per_minute, now) for _ in range(n)].count(0.0)


def test_a_minute_may_be_used_at_once() -> None:
    """Somebody who hands in ten files need not space them out."""
    assert taken(RateLimiter(), 12, 10, now=1000.0) == 10


def test_it_comes_back_evenly() -> None:
    """Ten a minute is one every six seconds, and waiting longer than a minute saves up nothing."""
    buckets = RateLimiter()
    taken(buckets, 10, 10, now=1000.0)
    assert buckets.take("a", 10, 1000.0) == 6.0
    assert buckets.take("a", 10, 1004.0) == pytest.approx(2.0)
    assert taken(buckets, 3, 10, now=1006.0) == 1
    assert taken(buckets, 12, 10, now=5000.0) == 10


def test_who_comes_when_told_to_is_served() -> None:
    """The wait that was named is enough, whatever the numbers."""
    source = random.Random(7)
    for _ in range(200):
        buckets, per_minute = RateLimiter(), source.randint(1, 5000)
        now = source.uniform(1.7e9, 1.8e9)
        while not (wait_s := buckets.take("a", per_minute, now)):
            now += source.random() * 0.001
        assert not buckets.take("a", per_minute, now + wait_s)


def test_accounts_do_not_share() -> None:
    """One greedy client leaves the others what is theirs."""
    buckets = RateLimiter()
    taken(buckets, 10, 10, now=0.0)
    assert buckets.take("b", 10, 0.0) == 0.0


def test_what_is_left_is_told() -> None:
    """OpenAI's three numbers: the limit, what remains, and until it is whole again."""
    buckets = RateLimiter()
    assert buckets.status("a", 10, 0.0) == RateLimitStatus(10, 10, 0.0)
    taken(buckets, 3, 10, now=0.0)
    assert buckets.status("a", 10, 0.0) == RateLimitStatus(10, 7, 18.0)
    assert buckets.status("a", 10, 5.0) == RateLimitStatus(10, 7, 13.0)
    assert buckets.status("a", 10, 6.0) == RateLimitStatus(10, 8, 12.0)


def test_a_clock_that_is_set_back_locks_nobody_out() -> None:
    """It makes up for nothing, but what there was stays."""
    buckets = RateLimiter()
    taken(buckets, 9, 10, now=10_000.0)
    assert taken(buckets, 3, 10, now=1000.0) == 1
    assert buckets.take("a", 10, 1006.0) == 0.0


def test_whoever_is_whole_again_is_forgotten() -> None:
    """After a minute nobody owes anything, so memory holds the callers of one minute."""
    buckets = RateLimiter()
    for n in range(1000):
        buckets.take(f"address:{n}", 10, now=float(n))
    assert len(buckets) <= 61


def test_memory_is_bounded() -> None:
    """A flood of addresses within a minute pushes out the oldest, and nothing grows."""
    buckets = RateLimiter(max_accounts=100)
    for n in range(1000):
        buckets.take(f"address:{n}", 10, now=0.0)
    assert len(buckets) == 100


def test_a_refused_request_takes_no_room() -> None:
    """Asking on and on neither makes the wait longer nor pushes anybody out."""
    buckets = RateLimiter()
    taken(buckets, 10, 10, now=0.0)
    taken(buckets, 1000, 10, now=3.0)
    assert buckets.take("a", 10, 3.0) == 3.0

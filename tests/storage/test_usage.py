"""Usage in a temporary database."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from whisperlive_hybrid.auth.usage import DayUsage, Usage
from whisperlive_hybrid.storage.usage import UsageStore, open_usage_store

pytestmark = pytest.mark.anyio

MONDAY, TUESDAY = date(2025, 11, 24), date(2025, 11, 25)
SOME = Usage(requests=3, refused=1, streams=2, file_s=61.25, live_s=0.1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[UsageStore]:
    """A fresh store."""
    with open_usage_store(tmp_path) as opened:
        yield opened


async def test_what_is_added_is_a_sum(store: UsageStore) -> None:
    """Usage of one day and account is summed in one row, exactly."""
    await store.add([DayUsage(MONDAY, "key:7f", SOME)])
    await store.add([DayUsage(MONDAY, "key:7f", SOME), DayUsage(MONDAY, "key:8a", SOME)])
    assert await store.since(MONDAY) == [
        DayUsage(MONDAY, "key:7f", SOME + SOME),
        DayUsage(MONDAY, "key:8a", SOME),
    ]


async def test_the_newest_day_comes_first(store: UsageStore) -> None:
    """Today's usage is of most interest."""
    rows = [DayUsage(day, "key:7f", SOME) for day in (MONDAY, TUESDAY)]
    await store.add(rows)
    assert await store.since(MONDAY) == [rows[1], rows[0]]
    assert await store.since(TUESDAY) == [rows[1]]


async def test_an_account_is_shown_its_own(store: UsageStore) -> None:
    """And no usage of other accounts."""
    await store.add([DayUsage(MONDAY, account, SOME) for account in ("key:7f", "key:8a")])
    assert await store.since(MONDAY, "key:8a") == [DayUsage(MONDAY, "key:8a", SOME)]
    assert await store.since(MONDAY, "key:") == []


async def test_old_days_are_forgotten(store: UsageStore) -> None:
    """All before a day, and not the day itself."""
    await store.add([DayUsage(day, "key:7f", SOME) for day in (MONDAY, TUESDAY)])
    assert await store.delete_before(TUESDAY) == 1
    assert await store.since(date.min) == [DayUsage(TUESDAY, "key:7f", SOME)]

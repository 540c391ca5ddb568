"""Usage between the memory and the store, with literal clocks and a real database."""

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import anyio
import pytest

from whisperlive_hybrid.auth.caller import ApiKey, Caller, Limits
from whisperlive_hybrid.auth.usage import DailyUsage, DayUsage, Usage
from whisperlive_hybrid.errors import DayUsedUp, OutOfSpace
from whisperlive_hybrid.storage import usage_recorder
from whisperlive_hybrid.storage.database import open_database
from whisperlive_hybrid.storage.usage import SCHEMA, UsageStore
from whisperlive_hybrid.storage.usage_recorder import UsageRecorder, open_accounts

pytestmark = pytest.mark.anyio

NOON = 1_764_072_000.0
DAY_S = 86_400
TODAY = date(2025, 11, 25)
ONE = Usage(requests=1, file_s=10.0)


class Clock:
    """A clock in Unix seconds that a test sets."""

    now = NOON

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class FullDisk(UsageStore):
    """A store that fails until there is space."""

    is_full = True

    async def add(self, rows: Sequence[DayUsage]) -> None:
        """Raise `OutOfSpace` while the disk is full."""
        if self.is_full:
            raise OutOfSpace("The disk of this server is full.")
        await super().add(rows)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FullDisk]:
    """A store with space."""
    database = open_database(tmp_path / "usage.db", SCHEMA)
    opened = FullDisk(database)
    opened.is_full = False
    yield opened
    database.close()


async def test_the_day_goes_on_after_a_restart(store: FullDisk) -> None:
    """Today's usage of an earlier process counts against today's limit."""
    clock, first, second = Clock(), DailyUsage(), DailyUsage()
    first.add("key:7f", ONE, NOON)
    await UsageRecorder(first, store, clock, kept_days=400).save()
    later = UsageRecorder(second, store, clock, kept_days=400)
    await later.restore()
    second.add("key:7f", ONE, NOON)
    assert second.audio_s("key:7f", NOON) == 20.0
    assert await later.load(None, 1) == [DayUsage(TODAY, "key:7f", ONE + ONE)]


async def test_what_is_asked_for_is_up_to_date(store: FullDisk) -> None:
    """Usage is saved before it is loaded."""
    daily = DailyUsage()
    recorder = UsageRecorder(daily, store, Clock(), kept_days=400)
    daily.add("key:7f", ONE, NOON)
    daily.add("key:8a", ONE, NOON)
    assert await recorder.load("key:7f", 1) == [DayUsage(TODAY, "key:7f", ONE)]
    daily.add("key:7f", ONE, NOON)
    assert await recorder.load("key:7f", 1) == [DayUsage(TODAY, "key:7f", ONE + ONE)]


async def test_days_are_counted_with_today(store: FullDisk) -> None:
    """One day is today; seven reach back six."""
    clock, daily = Clock(), DailyUsage()
    recorder = UsageRecorder(daily, store, clock, kept_days=400)
    for n in range(10):
        daily.add("key:7f", ONE, NOON + n * DAY_S)
    clock.now = NOON + 9 * DAY_S
    found = await recorder.load(None, 7)
    assert [row.day.day for row in found] == [4, 3, 2, 1, 30, 29, 28]


async def test_it_is_saved_at_the_end(store: FullDisk) -> None:
    """An orderly stop loses no usage, not even the latest."""
    daily = DailyUsage()
    recorder = UsageRecorder(daily, store, Clock(), kept_days=400)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(recorder.run)
        await anyio.wait_all_tasks_blocked()
        daily.add("key:7f", ONE, NOON)
        tasks.cancel_scope.cancel()
    assert await store.since(TODAY) == [DayUsage(TODAY, "key:7f", ONE)]


async def test_it_is_saved_from_time_to_time(
    store: FullDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a query."""
    monkeypatch.setattr(usage_recorder, "SAVE_INTERVAL_S", 0)
    daily = DailyUsage()
    recorder = UsageRecorder(daily, store, Clock(), kept_days=400)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(recorder.run)
        daily.add("key:7f", ONE, NOON)
        with anyio.fail_after(30):
            while not await store.since(TODAY):
                pass
        tasks.cancel_scope.cancel()


async def test_a_full_disk_loses_nothing_and_ends_nothing(
    store: FullDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Usage that could not be stored is stored later, exactly once."""
    monkeypatch.setattr(usage_recorder, "RETRY_S", 0)
    store.is_full = True
    daily = DailyUsage()
    recorder = UsageRecorder(daily, store, Clock(), kept_days=400)
    daily.add("key:7f", ONE, NOON)
    with pytest.raises(OutOfSpace):
        await recorder.load(None, 1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(recorder.run)
        daily.add("key:7f", ONE, NOON)
        store.is_full = False
        with anyio.fail_after(30):
            while not await store.since(TODAY):
                pass
        tasks.cancel_scope.cancel()
    assert await store.since(TODAY) == [DayUsage(TODAY, "key:7f", ONE + ONE)]


async def test_old_days_are_forgotten(store: FullDisk) -> None:
    """As many days as configured are kept, today included."""
    clock, daily = Clock(), DailyUsage()
    recorder = UsageRecorder(daily, store, clock, kept_days=2)
    for n in range(3):
        daily.add("key:7f", ONE, NOON + n * DAY_S)
    clock.now = NOON + 2 * DAY_S
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(recorder.run)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert [row.day.day for row in await store.since(date.min)] == [27, 26]


LAST_SECOND = 1_764_115_199.0
"""2025-11-25 23:59:59 UTC."""
HOLDER = Caller("192.0.2.1", ApiKey("7f", "captions"))


async def test_a_restart_keeps_the_usage_of_the_day(tmp_path: Path) -> None:
    """Today's usage of a key counts in the next process as well, until midnight."""
    limits = Limits(audio_s_per_day=60)
    async with (
        open_accounts(tmp_path, limits, 400, clock=lambda: LAST_SECOND) as accounts,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(accounts.recorder.run)
        await anyio.wait_all_tasks_blocked()
        accounts.quotas.add(HOLDER.account, Usage(file_s=60.0))
        tasks.cancel_scope.cancel()
    async with open_accounts(tmp_path, limits, 400, clock=lambda: LAST_SECOND) as accounts:
        with pytest.raises(DayUsedUp):
            accounts.quotas.admit(HOLDER)
    async with open_accounts(tmp_path, limits, 400, clock=lambda: LAST_SECOND + 1) as accounts:
        accounts.quotas.admit(HOLDER)

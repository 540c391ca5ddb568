"""Usage between the memory and the store, with literal clocks and a real database."""

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import anyio
import pytest

from whisperlive_hybrid.auth.usage import DailyUsage, DayUsage, Usage
from whisperlive_hybrid.errors import OutOfSpace
from whisperlive_hybrid.storage import usage_recorder
from whisperlive_hybrid.storage.database import open_database
from whisperlive_hybrid.storage.usage import SCHEMA, UsageStore
from whisperlive_hybrid.storage.usage_recorder import UsageRecorder

pytestmark = pytest.mark.anyio

NOON = 1_764_072_000.0
DAY_S = 86_400
TODAY = date(2025, 11, 25)
ONE = Usage(requests=1, file_s=10.0)


class Clock:
    """Unix seconds that pass when a test says so."""

    now = NOON

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


class FullDisk(UsageStore):
    """Takes nothing until there is room."""

    is_full = True

    async def add(self, rows: Sequence[DayUsage]) -> None:
        """Refuse."""
        if self.is_full:
            raise OutOfSpace("The disk of this server is full.")
        await super().add(rows)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FullDisk]:
    """A store with room."""
    database = open_database(tmp_path / "usage.db", SCHEMA)
    opened = FullDisk(database)
    opened.is_full = False
    yield opened
    database.close()


async def test_the_day_goes_on_after_a_restart(store: FullDisk) -> None:
    """What an earlier process has stored of today counts against the limit of today."""
    clock, first, second = Clock(), DailyUsage(), DailyUsage()
    first.add("key:7f", ONE, NOON)
    await UsageRecorder(first, store, clock, kept_days=400).save()
    later = UsageRecorder(second, store, clock, kept_days=400)
    await later.restore()
    second.add("key:7f", ONE, NOON)
    assert second.audio_s("key:7f", NOON) == 20.0
    assert await later.load(None, 1) == [DayUsage(TODAY, "key:7f", ONE + ONE)]


async def test_what_is_asked_for_is_up_to_date(store: FullDisk) -> None:
    """Whoever has just used something sees it."""
    book = DailyUsage()
    keeper = UsageRecorder(book, store, Clock(), kept_days=400)
    book.add("key:7f", ONE, NOON)
    book.add("key:8a", ONE, NOON)
    assert await keeper.load("key:7f", 1) == [DayUsage(TODAY, "key:7f", ONE)]
    book.add("key:7f", ONE, NOON)
    assert await keeper.load("key:7f", 1) == [DayUsage(TODAY, "key:7f", ONE + ONE)]


async def test_days_are_counted_with_today(store: FullDisk) -> None:
    """One day is today; seven reach back six."""
    clock, book = Clock(), DailyUsage()
    keeper = UsageRecorder(book, store, clock, kept_days=400)
    for n in range(10):
        book.add("key:7f", ONE, NOON + n * DAY_S)
    clock.now = NOON + 9 * DAY_S
    found = await keeper.load(None, 7)
    assert [row.day.day for row in found] == [4, 3, 2, 1, 30, 29, 28]


async def test_it_is_saved_at_the_end(store: FullDisk) -> None:
    """A server that stops in an orderly way loses nothing, even what was booked just now."""
    book = DailyUsage()
    keeper = UsageRecorder(book, store, Clock(), kept_days=400)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keeper.run)
        await anyio.wait_all_tasks_blocked()
        book.add("key:7f", ONE, NOON)
        tasks.cancel_scope.cancel()
    assert await store.since(TODAY) == [DayUsage(TODAY, "key:7f", ONE)]


async def test_it_is_saved_from_time_to_time(
    store: FullDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has to ask."""
    monkeypatch.setattr(usage_recorder, "SAVE_INTERVAL_S", 0)
    book = DailyUsage()
    keeper = UsageRecorder(book, store, Clock(), kept_days=400)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keeper.run)
        book.add("key:7f", ONE, NOON)
        with anyio.fail_after(30):
            while not await store.since(TODAY):
                pass
        tasks.cancel_scope.cancel()


async def test_a_full_disk_loses_nothing_and_ends_nothing(
    store: FullDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be stored is stored once there is room, and once only."""
    monkeypatch.setattr(usage_recorder, "RETRY_S", 0)
    store.is_full = True
    book = DailyUsage()
    keeper = UsageRecorder(book, store, Clock(), kept_days=400)
    book.add("key:7f", ONE, NOON)
    with pytest.raises(OutOfSpace):
        await keeper.load(None, 1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keeper.run)
        book.add("key:7f", ONE, NOON)
        store.is_full = False
        with anyio.fail_after(30):
            while not await store.since(TODAY):
                pass
        tasks.cancel_scope.cancel()
    assert await store.since(TODAY) == [DayUsage(TODAY, "key:7f", ONE + ONE)]


async def test_old_days_are_forgotten(store: FullDisk) -> None:
    """As many days are kept as the operator says, today included."""
    clock, book = Clock(), DailyUsage()
    keeper = UsageRecorder(book, store, clock, kept_days=2)
    for n in range(3):
        book.add("key:7f", ONE, NOON + n * DAY_S)
    clock.now = NOON + 2 * DAY_S
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keeper.run)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert [row.day.day for row in await store.since(date.min)] == [27, 26]

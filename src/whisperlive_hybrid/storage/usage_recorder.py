"""Usage between memory and store: read at the start, written in batches, told on request."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from typing import Final

import anyio
import structlog

from whisperlive_hybrid.auth.quotas import Meter, limits_for_all
from whisperlive_hybrid.auth.usage import DayBook, DayUsage, first_of, utc_day
from whisperlive_hybrid.config import Settings
from whisperlive_hybrid.storage.usage import UsageStore, open_usage_store

SAVED_EVERY_S: Final = 2.0
"""What a process that is killed loses of the usage, at most, and one write for all accounts."""

PAUSE_S: Final = 30.0
"""Between two tries while the store takes nothing."""

log = structlog.get_logger(__name__)


class Bookkeeper:
    """Carries the sums of a `DayBook` into the store; nobody who books ever waits for it."""

    def __init__(
        self, book: DayBook, store: UsageStore, clock: Callable[[], float], kept_days: int
    ) -> None:
        """`clock` tells Unix seconds; a day is kept for `kept_days`, itself included."""
        self._book = book
        self._store = store
        self._clock = clock
        self._kept_from = date.min
        self.kept_days = kept_days

    async def begin(self) -> None:
        """Go on with the day of an earlier process."""
        now = self._clock()
        self._book.begin(await self._store.since(utc_day(now)), now)

    async def run(self) -> None:
        """Save every few seconds, and a last time when it is cancelled; to be run as a task."""
        try:
            while True:
                pause_s = SAVED_EVERY_S if await self._saved() else PAUSE_S
                await anyio.sleep(pause_s)
        finally:
            with anyio.CancelScope(shield=True):
                await self._saved()

    async def save(self) -> None:
        """Store what is not stored yet; raises what the store does, and then nothing is lost."""
        rows = self._book.take_unsaved()
        try:
            if rows:
                await self._store.add(rows)
        except BaseException:
            self._book.put_back(rows)
            raise

    async def usage(self, account: str | None, days: int) -> list[DayUsage]:
        """The last days, today included, the newest first; of one account, or of all (None)."""
        await self.save()
        return await self._store.since(first_of(days, self._clock()), account)

    async def _saved(self) -> bool:
        """Save; whether that could be done."""
        try:
            await self.save()
            await self._forget()
        except Exception:  # a full disk ends no server
            log.exception("usage was not stored", again_in_s=PAUSE_S)
            return False
        return True

    async def _forget(self) -> None:
        """Forget what is too old, once a day."""
        first = first_of(self.kept_days, self._clock())
        if first > self._kept_from:
            await self._store.forget(first)
            self._kept_from = first


KeyNames = Callable[[], Awaitable[Mapping[str, str]]]
"""The names of all keys there ever were, by their ids."""


async def no_names() -> Mapping[str, str]:
    """Where there are no keys."""
    return {}


@dataclass(frozen=True, slots=True)
class Accounts:
    """What callers may have, and what they have had."""

    meter: Meter
    bookkeeper: Bookkeeper
    names: KeyNames


@asynccontextmanager
async def open_accounts(
    settings: Settings, names: KeyNames = no_names, clock: Callable[[], float] = time.time
) -> AsyncIterator[Accounts]:
    """Open the store of usage in the data directory, and go on with what is stored of today.

    Raises `BadRequest` if it cannot be opened.
    """
    with open_usage_store(settings.data_dir) as store:
        meter = Meter(limits_for_all(settings), clock)
        bookkeeper = Bookkeeper(meter.book, store, clock, settings.usage_days)
        await bookkeeper.begin()
        yield Accounts(meter, bookkeeper, names)

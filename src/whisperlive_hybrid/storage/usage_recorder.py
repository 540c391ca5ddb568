"""Saves usage from memory to the store, in batches, and restores it at the start."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import anyio
import structlog

from whisperlive_hybrid.auth.caller import Limits
from whisperlive_hybrid.auth.quotas import Quotas
from whisperlive_hybrid.auth.usage import DailyUsage, DayUsage, first_day, utc_day
from whisperlive_hybrid.storage.usage import UsageStore, open_usage_store

SAVE_INTERVAL_S: Final = 2.0
"""Usage that a killed process loses at most; one write for all accounts."""

RETRY_S: Final = 30.0
"""Time between two attempts while saving fails, as on a full disk."""

log = structlog.get_logger(__name__)


class UsageRecorder:
    """Saves a `DailyUsage` in the background: no request waits for the store."""

    def __init__(
        self, usage: DailyUsage, store: UsageStore, clock: Callable[[], float], kept_days: int
    ) -> None:
        """`clock` gives Unix seconds; usage is kept for `kept_days` days, today included."""
        self._usage = usage
        self._store = store
        self._clock = clock
        self._kept_from = date.min
        self.kept_days = kept_days

    async def restore(self) -> None:
        """Restore today's usage of an earlier process."""
        now = self._clock()
        self._usage.restore(await self._store.since(utc_day(now)), now)

    async def run(self) -> None:
        """Save every `SAVE_INTERVAL_S`, and once more when cancelled. Background task."""
        try:
            while True:
                pause_s = SAVE_INTERVAL_S if await self._try_save() else RETRY_S
                await anyio.sleep(pause_s)
        finally:
            # The stop of the server cancels this task; the last sums are stored nevertheless.
            with anyio.CancelScope(shield=True):
                await self._try_save()

    async def save(self) -> None:
        """Save all unsaved usage; if the store raises, the usage remains unsaved."""
        rows = self._usage.take_unsaved()
        try:
            if rows:
                await self._store.add(rows)
        except BaseException:
            # Also after a cancellation, which may precede the transaction.
            self._usage.put_back(rows)
            raise

    async def load(self, account: str | None, days: int) -> list[DayUsage]:
        """Return the usage of the last days, today included, newest first; None: all accounts."""
        # The store lacks the usage since the last save.
        await self.save()
        return await self._store.since(first_day(days, self._clock()), account)

    async def _try_save(self) -> bool:
        """Save, and once a day delete what is too old; return False if that failed."""
        try:
            await self.save()
            first = first_day(self.kept_days, self._clock())
            if first > self._kept_from:
                await self._store.delete_before(first)
                self._kept_from = first
        except Exception:  # a full disk must not stop the server
            log.exception("usage was not stored", again_in_s=RETRY_S)
            return False
        return True


KeyNames = Callable[[], Awaitable[Mapping[str, str]]]
"""Returns the names of all keys by their ids, revoked ones included."""


async def no_names() -> Mapping[str, str]:
    """Return no names, for a server without keys."""
    return {}


@dataclass(frozen=True, slots=True)
class Accounts:
    """The quotas of callers, and their stored usage."""

    quotas: Quotas
    recorder: UsageRecorder
    names: KeyNames


@asynccontextmanager
async def open_accounts(
    data_dir: Path,
    limits: Limits,
    kept_days: int,
    names: KeyNames = no_names,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[Accounts]:
    """Open the usage store in the data directory and restore today's usage.

    Raises `BadRequest` if it cannot be opened.
    """
    with open_usage_store(data_dir) as store:
        quotas = Quotas(limits, clock)
        recorder = UsageRecorder(quotas.usage, store, clock, kept_days)
        await recorder.restore()
        yield Accounts(quotas, recorder, names)

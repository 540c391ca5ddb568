"""What the doors know of their callers, opened in one piece."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from whisperlive_hybrid.access.bookkeeper import Bookkeeper
from whisperlive_hybrid.access.meter import Meter, limits_for_all
from whisperlive_hybrid.config import Settings
from whisperlive_hybrid.store.usage import open_usage_store

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

"""Usage by UTC day and account: sums that are only ever added to, until they are forgotten."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    Column,
    Connection,
    Date,
    Double,
    Integer,
    MetaData,
    Row,
    Table,
    Text,
    and_,
    delete,
    insert,
    select,
    update,
)

from whisperlive_hybrid.auth.usage import DayUsage, Usage
from whisperlive_hybrid.storage.database import Database, Schema, open_database

FILE: Final = "usage.db"
"""A file of its own: who reads the keys again after every change would do so all the time."""

metadata: Final = MetaData()

usage: Final = Table(
    "usage",
    metadata,
    Column("day", Date, primary_key=True),
    Column("account", Text, primary_key=True),
    Column("requests", Integer, nullable=False),
    Column("refused", Integer, nullable=False),
    Column("streams", Integer, nullable=False),
    Column("file_s", Double, nullable=False),
    Column("live_s", Double, nullable=False),
)


SCHEMA: Final = Schema("sums of usage", metadata)


@contextmanager
def open_usage_store(directory: Path) -> Iterator["UsageStore"]:
    """Open or create usage.db in a directory that exists; blocking.

    Several processes may have it open at once. Raises `BadRequest` if it cannot be opened.
    """
    file = directory.expanduser().absolute() / FILE
    with closing(open_database(file, SCHEMA)) as database:
        yield UsageStore(database)


class UsageStore:
    """The usage of all days that are kept."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._run = database.run

    async def add(self, rows: Sequence[DayUsage]) -> None:
        """Add to what there is, all rows or none."""
        await self._run(add, rows)

    async def since(self, first: date, account: str | None = None) -> list[DayUsage]:
        """From `first` on, the newest day first; of one account, or of all (None)."""
        return await self._run(since, first, account)

    async def forget(self, before: date) -> int:
        """Delete the days before; return how many rows."""
        return await self._run(forget, before)


def add(connection: Connection, rows: Sequence[DayUsage]) -> None:
    """Add to what there is."""
    for row in rows:
        taken = _values(row.usage)
        more = {name: usage.c[name] + amount for name, amount in taken.items()}
        here = and_(usage.c.day == row.day, usage.c.account == row.account)
        if not connection.execute(update(usage).where(here).values(more)).rowcount:
            new = {"day": row.day, "account": row.account, **taken}
            connection.execute(insert(usage).values(new))


def since(connection: Connection, first: date, account: str | None) -> list[DayUsage]:
    """From `first` on, the newest day first; of one account, or of all (None)."""
    wanted = select(usage).where(usage.c.day >= first)
    if account is not None:
        wanted = wanted.where(usage.c.account == account)
    found = connection.execute(wanted.order_by(usage.c.day.desc(), usage.c.account))
    return [_row(each) for each in found]


def forget(connection: Connection, before: date) -> int:
    """Delete the days before."""
    return connection.execute(delete(usage).where(usage.c.day < before)).rowcount


def _values(taken: Usage) -> dict[str, Any]:
    return {
        "requests": taken.requests,
        "refused": taken.refused,
        "streams": taken.streams,
        "file_s": taken.file_s,
        "live_s": taken.live_s,
    }


def _row(found: Row[Any]) -> DayUsage:
    taken = Usage(found.requests, found.refused, found.streams, found.file_s, found.live_s)
    return DayUsage(found.day, found.account, taken)

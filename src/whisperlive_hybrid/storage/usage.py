"""Usage in SQLite: sums by UTC day and account."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Final

from sqlalchemy import (
    Column,
    Connection,
    Date,
    Double,
    Integer,
    MetaData,
    Table,
    Text,
    delete,
    insert,
    select,
    update,
)

from whisperlive_hybrid.auth.usage import DayUsage, Usage
from whisperlive_hybrid.storage.database import Database, Schema, open_database

FILE: Final = "usage.db"
"""Not in access.db: keys are reloaded after every change of their file, and usage changes all the
time."""

metadata: Final = MetaData()

usage: Final = Table(
    "usage",
    metadata,
    Column("day", Date, primary_key=True),
    Column("account", Text, primary_key=True),
    # From here on the fields of `Usage`.
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
    """The usage of all stored days."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def add(self, rows: Sequence[DayUsage]) -> None:
        """Add usage to the stored sums, in one transaction."""
        await self.database.run(add, rows)

    async def since(self, first: date, account: str | None = None) -> list[DayUsage]:
        """Return the usage from `first` on, newest day first; None: of all accounts."""
        return await self.database.run(load_since, first, account)

    async def delete_before(self, day: date) -> int:
        """Delete the usage of earlier days; return the number of rows."""
        return await self.database.run(delete_before, day)


def add(connection: Connection, rows: Sequence[DayUsage]) -> None:
    """Add usage to the stored sums."""
    for row in rows:
        amounts = asdict(row.usage)
        sums = {name: usage.c[name] + amount for name, amount in amounts.items()}
        # Update first: only the first batch of a day and account has to insert a row.
        stored = update(usage).where(usage.c.day == row.day, usage.c.account == row.account)
        if not connection.execute(stored.values(sums)).rowcount:
            new = {"day": row.day, "account": row.account, **amounts}
            connection.execute(insert(usage).values(new))


def load_since(connection: Connection, first: date, account: str | None) -> list[DayUsage]:
    """Return the usage from `first` on, newest day first; None: of all accounts."""
    query = select(usage).where(usage.c.day >= first)
    if account is not None:
        query = query.where(usage.c.account == account)
    rows = connection.execute(query.order_by(usage.c.day.desc(), usage.c.account))
    return [DayUsage(day, stored_account, Usage(*sums)) for day, stored_account, *sums in rows]


def delete_before(connection: Connection, day: date) -> int:
    """Delete the usage of earlier days; return the number of rows."""
    return connection.execute(delete(usage).where(usage.c.day < day)).rowcount

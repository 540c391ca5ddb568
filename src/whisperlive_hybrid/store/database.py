"""The database behind one thread of its own: the event loop never waits for a disk."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import anyio
import anyio.to_thread
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from whisperlive_hybrid.errors import OutOfSpace
from whisperlive_hybrid.store.schema import prepare

P = ParamSpec("P")
T = TypeVar("T")


class Database:
    """Runs one transaction after another, each in a thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # SQLite takes one writer at a time anyway; so nobody ever meets a locked database.
        self._one_at_a_time = anyio.CapacityLimiter(1)

    async def run(
        self,
        query: Callable[Concatenate[Connection, P], T],
        *arguments: P.args,
        **named: P.kwargs,
    ) -> T:
        """Run `query` in a transaction: all of it is stored, or, if it raises, nothing.

        Raises `OutOfSpace` where the disk is full. It is not cut short by cancellation: what was
        begun is either done or undone when this returns.
        """
        return await anyio.to_thread.run_sync(
            lambda: self._transaction(query, *arguments, **named), limiter=self._one_at_a_time
        )

    def _transaction(
        self,
        query: Callable[Concatenate[Connection, P], T],
        *arguments: P.args,
        **named: P.kwargs,
    ) -> T:
        try:
            with self._engine.begin() as connection:
                return query(connection, *arguments, **named)
        except DBAPIError as error:
            if _is_full(error):
                raise OutOfSpace("The disk of this server is full.") from error
            raise

    def close(self) -> None:
        """Close the file."""
        self._engine.dispose()


def open_database(file: Path) -> Database:
    """Open or create a SQLite database; blocking. Raises `BadRequest` if it is of a later version.

    `synchronous=FULL`: a job that was answered with 202 outlives a power cut, and so does a window
    that was read; the flush costs a few milliseconds, a window hundreds.
    """
    # The directory may be open to others if it was there before. The journal takes on this mode.
    file.touch(mode=0o600)
    file.chmod(0o600)
    engine = create_engine(f"sqlite:///{file}")
    event.listen(engine, "connect", _configure)
    with engine.begin() as connection:
        prepare(connection)
    return Database(engine)


def _configure(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    # Readers from outside (a backup, an operator's shell) and the writer do not block each other.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    # What is deleted is overwritten: people's words do not stay behind in free pages.
    connection.execute("PRAGMA secure_delete = ON")


def _is_full(error: DBAPIError) -> bool:
    cause = error.orig
    return isinstance(cause, sqlite3.Error) and cause.sqlite_errorcode == sqlite3.SQLITE_FULL

"""SQLite databases, used from worker threads so that the event loop never waits for a disk."""

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, TypeVar

import anyio
import anyio.to_thread
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    Table,
    create_engine,
    event,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from whisperlive_hybrid.errors import BadRequest, OutOfSpace

Migration = Callable[[Connection], None]

_VERSIONS: Final = "schema_versions"


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of one database, their version, and the migrations from earlier versions."""

    content: str
    """The content of the database, for messages: "jobs", "keys"."""
    metadata: MetaData
    version: int = 1
    """Incremented when a table is changed; a new table needs no new version."""
    migrations: Mapping[int, Migration] = field(default_factory=dict)
    """By the version that they start from; each leads to the next version."""

    def prepare(self, connection: Connection) -> None:
        """Create missing tables and run the migrations, in the caller's transaction.

        Raises `BadRequest` for a database of a later version.
        """
        versions = self.metadata.tables.get(_VERSIONS)
        if versions is None:
            number = Column("version", Integer, primary_key=True, autoincrement=False)
            versions = Table(_VERSIONS, self.metadata, number)
        if not inspect(connection).has_table(_VERSIONS):
            versions.create(connection)
            connection.execute(insert(versions).values(version=self.version))
        stored: int = connection.scalars(select(versions.c.version)).one()
        if stored > self.version:
            raise BadRequest(
                f"The {self.content} in WHISPERLIVE_DATA_DIR were written by a later version of "
                f"this server (schema {stored}; this version supports {self.version})."
            )
        for version in range(stored, self.version):
            self.migrations[version](connection)
        connection.execute(update(versions).values(version=self.version))
        # Last, so that a migration finds the tables as its version left them.
        self.metadata.create_all(connection)


P = ParamSpec("P")
T = TypeVar("T")


class Database:
    """Runs transactions one after another, each in a worker thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # SQLite allows one writer at a time: queueing here avoids "database is locked".
        self._limiter = anyio.CapacityLimiter(1)

    async def run(
        self,
        query: Callable[Concatenate[Connection, P], T],
        *arguments: P.args,
        **named: P.kwargs,
    ) -> T:
        """Run `query` in a transaction, which is rolled back if it raises.

        Raises `OutOfSpace` if the disk is full. Cancellation does not interrupt it: the transaction
        is committed or rolled back when this returns.
        """
        return await anyio.to_thread.run_sync(
            lambda: self.run_blocking(query, *arguments, **named), limiter=self._limiter
        )

    def run_blocking(
        self,
        query: Callable[Concatenate[Connection, P], T],
        *arguments: P.args,
        **named: P.kwargs,
    ) -> T:
        """Run `query` like `run`, for commands without an event loop."""
        try:
            with self._engine.begin() as connection:
                return query(connection, *arguments, **named)
        except DBAPIError as error:
            cause = error.orig
            if isinstance(cause, sqlite3.Error) and cause.sqlite_errorcode == sqlite3.SQLITE_FULL:
                raise OutOfSpace("The disk of this server is full.") from error
            raise

    def close(self) -> None:
        """Close the file."""
        self._engine.dispose()


def open_database(file: Path, schema: Schema) -> Database:
    """Open or create a SQLite database; blocking.

    Raises `BadRequest` if its version is later than ours, or if it cannot be opened.
    """
    # The directory may be accessible to other users if it existed before. The journal gets the
    # mode of the database.
    file.touch(mode=0o600)
    file.chmod(0o600)
    engine = create_engine(f"sqlite:///{file}")
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    try:
        with engine.begin() as connection:
            schema.prepare(connection)
    except DBAPIError as error:
        engine.dispose()
        raise BadRequest(
            f"Cannot open {file.name} in WHISPERLIVE_DATA_DIR: {error.orig}."
        ) from error
    except BadRequest:
        engine.dispose()
        raise
    return Database(engine)


def _configure(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    # By default the driver begins a transaction at the first INSERT, too late for migrations.
    connection.isolation_level = None
    # Readers from outside (a backup, an operator's shell) and the writer do not block each other.
    connection.execute("PRAGMA journal_mode = WAL")
    # A job that was answered with 202 survives a power failure, and so does a decoded window. The
    # flush costs a few milliseconds, a window hundreds.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    # Deleted rows are overwritten: transcripts do not remain in free pages.
    connection.execute("PRAGMA secure_delete = ON")


def _begin(connection: Connection) -> None:
    # Take the write lock at once: a transaction that reads first and then writes fails if another
    # process wrote in between; this one waits instead.
    connection.exec_driver_sql("BEGIN IMMEDIATE")

"""The database behind one thread of its own: the event loop never waits for a disk."""

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
    """The tables of one database, their version, and the ways to it from earlier ones."""

    what: str
    """What lies in it, for messages."""
    metadata: MetaData
    version: int = 1
    """Raised by whoever changes a table; one that is only added needs no new version."""
    migrations: Mapping[int, Migration] = field(default_factory=dict)
    """By the version from which each leads to the next."""

    def prepare(self, connection: Connection) -> None:
        """Create or change what is missing, in the caller's transaction: all of it, or nothing.

        Raises `BadRequest` for a database of a later version.
        """
        versions = _versions(self.metadata)
        is_new = not inspect(connection).has_table(_VERSIONS)
        if is_new:
            versions.create(connection)
            connection.execute(insert(versions).values(version=self.version))
        found: int = connection.scalars(select(versions.c.version)).one()
        if found > self.version:
            raise BadRequest(
                f"The {self.what} in WHISPERLIVE_DATA_DIR were written by a later version of this "
                f"server (schema {found}; this one knows {self.version})."
            )
        for step in range(found, self.version):
            self.migrations[step](connection)
        connection.execute(update(versions).values(version=self.version))
        self.metadata.create_all(connection)


def _versions(metadata: MetaData) -> Table:
    known = metadata.tables.get(_VERSIONS)
    if known is not None:
        return known
    return Table(
        _VERSIONS, metadata, Column("version", Integer, primary_key=True, autoincrement=False)
    )


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
            lambda: self.run_blocking(query, *arguments, **named), limiter=self._one_at_a_time
        )

    def run_blocking(
        self,
        query: Callable[Concatenate[Connection, P], T],
        *arguments: P.args,
        **named: P.kwargs,
    ) -> T:
        """As `run`, for a command that has no event loop."""
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


def open_database(file: Path, schema: Schema) -> Database:
    """Open or create a SQLite database; blocking.

    Raises `BadRequest` if it is of a later version, or cannot be opened.

    `synchronous=FULL`: a job that was answered with 202 outlives a power cut, and so does a window
    that was read; the flush costs a few milliseconds, a window hundreds.
    """
    # The directory may be open to others if it was there before. The journal takes on this mode.
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
    # The driver would begin a transaction at the first INSERT, too late for what a migration does.
    connection.isolation_level = None
    # Readers from outside (a backup, an operator's shell) and the writer do not block each other.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    # What is deleted is overwritten: people's words do not stay behind in free pages.
    connection.execute("PRAGMA secure_delete = ON")


def _begin(connection: Connection) -> None:
    # The right to write at once: one who reads first and then writes would be refused if another
    # process had written in between, where this one waits its turn.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _is_full(error: DBAPIError) -> bool:
    cause = error.orig
    return isinstance(cause, sqlite3.Error) and cause.sqlite_errorcode == sqlite3.SQLITE_FULL

"""Keys on disk: what is asked of their table, and the server's quick look at it."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Double,
    Integer,
    MetaData,
    RowMapping,
    String,
    Table,
    Text,
    insert,
    select,
    update,
)

from whisperlive_hybrid.auth.caller import KeyCard, Limits
from whisperlive_hybrid.auth.keys import KnownKey
from whisperlive_hybrid.storage.database import Database, Schema, open_database
from whisperlive_hybrid.storage.directory import made_directory

metadata: Final = MetaData()

keys: Final = Table(
    "keys",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("id", String(16), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    # SHA-256 of the token, in hexadecimal.
    Column("digest", String(64), nullable=False),
    Column("is_admin", Boolean, nullable=False),
    Column("requests_per_minute", Integer),
    Column("audio_s_per_day", Double),
    Column("live_streams", Integer),
    Column("created_at", Double, nullable=False),
    # Rows stay, so that what a key has used can still be told.
    Column("revoked_at", Double),
    sqlite_autoincrement=True,
)

ACCESS: Final = Schema("keys", metadata)


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key with its dates, in Unix seconds."""

    key: KnownKey
    created_at: float
    revoked_at: float | None = None


def add(connection: Connection, key: KnownKey, now: float) -> None:
    """Store a new key."""
    card, limits = key.card, key.card.limits
    row = {
        "id": card.id,
        "name": card.name,
        "digest": key.digest.hex(),
        "is_admin": card.is_admin,
        "requests_per_minute": limits.requests_per_minute,
        "audio_s_per_day": limits.audio_s_per_day,
        "live_streams": limits.live_streams,
        "created_at": now,
    }
    connection.execute(insert(keys).values(row))


def revoke(connection: Connection, key_id: str, now: float) -> bool:
    """End a key; False if there is no such valid one."""
    valid = update(keys).where(keys.c.id == key_id, keys.c.revoked_at.is_(None))
    return connection.execute(valid.values(revoked_at=now)).rowcount > 0


def every(connection: Connection) -> list[StoredKey]:
    """All that were ever made, oldest first."""
    rows = connection.execute(select(keys).order_by(keys.c.number)).mappings()
    return [StoredKey(_key(row), row["created_at"], row["revoked_at"]) for row in rows]


def names_of(keys: Iterable[StoredKey]) -> dict[str, str]:
    """What they are called, by their ids."""
    return {each.key.card.id: each.key.card.name for each in keys}


def _key(row: RowMapping | sqlite3.Row) -> KnownKey:
    limits = Limits(row["requests_per_minute"], row["audio_s_per_day"], row["live_streams"])
    card = KeyCard(row["id"], row["name"], limits, is_admin=bool(row["is_admin"]))
    return KnownKey(card, bytes.fromhex(row["digest"]))


_VALID: Final = "SELECT * FROM keys WHERE revoked_at IS NULL"


class KeyFile:
    """A connection of the event loop's own, which only reads.

    SQLite tells in 3 µs whether another connection, of whatever process, has changed the file
    (`PRAGMA data_version`), so every request can ask; reading 1,000 keys after a change takes
    3.5 ms (both measured on a busy machine).
    The file must exist, and be in WAL mode, where readers wait for nobody.
    """

    def __init__(self, file: Path) -> None:
        self._connection = sqlite3.connect(file, timeout=0.05, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA query_only = ON")

    def version(self) -> int:
        """Another number after every change."""
        number: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        return number

    def valid(self) -> list[KnownKey]:
        """The keys that open something."""
        return [_key(row) for row in self._connection.execute(_VALID)]

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


FILE: Final = "access.db"


@dataclass(frozen=True, slots=True)
class AccessStore:
    """An open access.db. Several processes may have it open at once."""

    database: Database
    keys: KeyFile

    async def names(self) -> dict[str, str]:
        """What all keys are called, by their ids, those that were revoked too."""
        return names_of(await self.database.run(every))


@contextmanager
def open_access_store(directory: Path) -> Iterator[AccessStore]:
    """Open or create it in `directory`; blocking. Raises `BadRequest` if that cannot be."""
    file = made_directory(directory) / FILE
    with (
        closing(open_database(file, ACCESS)) as database,
        closing(KeyFile(file)) as keys,
    ):
        yield AccessStore(database, keys)

"""How a database gets the tables of this version, whichever version wrote it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Column, Connection, Integer, MetaData, Table, insert, inspect, select, update

from whisperlive_hybrid.errors import BadRequest

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

"""access.db in the data directory: keys, and what is counted for them."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from whisperlive_hybrid.store.access_schema import ACCESS
from whisperlive_hybrid.store.database import Database, open_database
from whisperlive_hybrid.store.directory import made_directory
from whisperlive_hybrid.store.keys import KeyFile, every, names_of

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

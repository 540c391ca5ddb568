"""Keys on disk, and how a running server sees them change."""

import sqlite3
import stat
from pathlib import Path

import pytest

from whisperlive_hybrid.auth.caller import ApiKey, Limits
from whisperlive_hybrid.auth.keys import StoredKey
from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.jobs.store.store import open_store
from whisperlive_hybrid.storage import keys
from whisperlive_hybrid.storage.keys import open_key_database


def key(number: int, limits: Limits = Limits(), *, is_admin: bool = False) -> StoredKey:  # noqa: B008 (frozen)
    """A key."""
    return StoredKey(ApiKey(f"{number:012x}", f"key {number}", limits, is_admin), bytes(32))


def test_a_key_reads_as_it_was_made(tmp_path: Path) -> None:
    """For the list and for the server alike, after a restart too."""
    made = [key(1, Limits(60, 3600.0, 0), is_admin=True), key(2)]
    with open_key_database(tmp_path) as store:
        for each in made:
            store.database.run_blocking(keys.add, each, 1000.0)
    with open_key_database(tmp_path) as store:
        assert [each.stored for each in store.database.run_blocking(keys.load_all)] == made
        assert store.keys.load_valid() == made


def test_another_process_sees_a_change(tmp_path: Path) -> None:
    """While a server holds its lock on the directory; without a change, nothing changes."""
    with open_store(tmp_path), open_key_database(tmp_path) as server:
        before = server.keys.version()
        assert server.keys.version() == before
        with open_key_database(tmp_path) as shell:
            shell.database.run_blocking(keys.add, key(1), 1000.0)
        made = server.keys.version()
        assert made != before
        assert [each.key.name for each in server.keys.load_valid()] == ["key 1"]
        with open_key_database(tmp_path) as shell:
            assert shell.database.run_blocking(keys.revoke, key(1).key.id, 2000.0)
        assert server.keys.version() != made
        assert server.keys.load_valid() == []


def test_the_servers_own_connections_are_seen_too(tmp_path: Path) -> None:
    """So that the server itself may change keys."""
    with open_key_database(tmp_path) as store:
        before = store.keys.version()
        store.database.run_blocking(keys.add, key(1), 1000.0)
        assert store.keys.version() != before


def test_a_key_is_revoked_once(tmp_path: Path) -> None:
    """Its row stays, with the time; an unknown id returns False."""
    with open_key_database(tmp_path) as store:
        run = store.database.run_blocking
        run(keys.add, key(1), 1000.0)
        assert run(keys.revoke, key(1).key.id, 2000.0)
        assert not run(keys.revoke, key(1).key.id, 3000.0)
        assert not run(keys.revoke, "other", 3000.0)
        [stored] = run(keys.load_all)
        assert (stored.created_at, stored.revoked_at) == (1000.0, 2000.0)


def test_the_servers_connection_cannot_write(tmp_path: Path) -> None:
    """A defect of the servers cannot create a key."""
    with open_key_database(tmp_path) as store, pytest.raises(sqlite3.OperationalError):
        store.keys._connection.execute("DELETE FROM keys")


def test_the_directory_is_its_owners(tmp_path: Path) -> None:
    """It is created on demand, so that keys can be created before the first start."""
    with open_key_database(tmp_path / "new" / "data"):
        assert stat.S_IMODE((tmp_path / "new" / "data").stat().st_mode) == 0o700


def test_an_invalid_database_file_is_an_error_of_one_line(tmp_path: Path) -> None:
    """The message names the file and the error."""
    (tmp_path / "access.db").write_bytes(b"something else" * 100)
    with (
        pytest.raises(BadRequest, match=r"access\.db in WHISPERLIVE_DATA_DIR"),
        open_key_database(tmp_path),
    ):
        pass

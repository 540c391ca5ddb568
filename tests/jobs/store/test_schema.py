"""Databases that an earlier version wrote."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.jobs.model import Status
from whisperlive_hybrid.jobs.store.checkpoints import dump_audio
from whisperlive_hybrid.jobs.store.store import open_store
from whisperlive_hybrid.protocol.openai.request import AudioRequest

pytestmark = pytest.mark.anyio

VERSION_1 = """
CREATE TABLE schema_versions (version INTEGER NOT NULL, PRIMARY KEY (version));
CREATE TABLE jobs (
    number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, id VARCHAR(40) NOT NULL,
    status VARCHAR(16) NOT NULL, model TEXT NOT NULL, audio TEXT NOT NULL, language VARCHAR(16),
    webhook_url TEXT, text TEXT NOT NULL, created_at DOUBLE NOT NULL, started_at DOUBLE,
    finished_at DOUBLE, expires_at DOUBLE, owner VARCHAR(40), leased_until DOUBLE, UNIQUE (id)
);
CREATE INDEX jobs_by_status ON jobs (status, number);
CREATE TABLE sources (
    number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, job INTEGER NOT NULL,
    position INTEGER NOT NULL, name TEXT NOT NULL, origin VARCHAR(16) NOT NULL, url TEXT,
    spooled VARCHAR(80) NOT NULL, status VARCHAR(16) NOT NULL, done DOUBLE NOT NULL, total DOUBLE,
    failure TEXT, result TEXT, FOREIGN KEY(job) REFERENCES jobs (number) ON DELETE CASCADE
);
CREATE UNIQUE INDEX sources_by_job ON sources (job, position);
CREATE TABLE readings (
    source INTEGER NOT NULL, start BIGINT NOT NULL, "end" BIGINT NOT NULL,
    language VARCHAR(16) NOT NULL, reading TEXT NOT NULL,
    PRIMARY KEY (source, start, "end", language),
    FOREIGN KEY(source) REFERENCES sources (number) ON DELETE CASCADE
);
CREATE TABLE deliveries (
    number INTEGER NOT NULL PRIMARY KEY, job INTEGER NOT NULL, message_id VARCHAR(40) NOT NULL,
    url TEXT NOT NULL, body TEXT NOT NULL, failed_tries INTEGER NOT NULL, due_at DOUBLE NOT NULL,
    UNIQUE (job), FOREIGN KEY(job) REFERENCES jobs (number) ON DELETE CASCADE
);
CREATE INDEX deliveries_by_time ON deliveries (due_at);
INSERT INTO schema_versions VALUES (1);
"""
A_JOB = """
INSERT INTO jobs (id, status, model, audio, text, created_at)
    VALUES ('job_1', 'queued', 'demo', '{audio}', '', 1000.0);
INSERT INTO sources (job, position, name, origin, spooled, status, done)
    VALUES (1, 0, 'a.wav', 'upload', 'a.media', 'queued', 0.0);
"""


def tables(file: Path) -> dict[str, list[tuple[object, ...]]]:
    """The columns of every table and index."""
    with closing(sqlite3.connect(file)) as database:
        names = database.execute("SELECT type, name FROM sqlite_master ORDER BY name").fetchall()
        return {
            name: database.execute(f"PRAGMA {kind}_info({name!r})").fetchall()
            for kind, name in names
        }


def first_version(directory: Path, rows: str = "") -> Path:
    """A directory as version 1 left it."""
    file = directory / "jobs.db"
    with closing(sqlite3.connect(file)) as database:
        database.executescript(VERSION_1 + rows)
    return file


async def test_jobs_stored_before_accounts_have_none(tmp_path: Path) -> None:
    """They are kept with their files and can run; only callers that may see all jobs find them."""
    first_version(tmp_path, A_JOB.format(audio=dump_audio(AudioRequest(model="demo"))))
    with open_store(tmp_path) as store:
        found = await store.get("job_1")
        assert found is not None
        assert (found.account, found.sources[0].name) == ("", "a.wav")
        assert await store.get_page(9, None, None, "key:1") == []
        taken = await store.take("me", ["demo"], 1001.0, 1002.0)
        assert taken is not None
        assert taken.status is Status.RUNNING


def test_a_migrated_database_is_like_a_new_one(tmp_path: Path) -> None:
    """Column by column; and a second start changes nothing."""
    with open_store(tmp_path / "new"):
        pass
    old = first_version(tmp_path)
    for _ in range(2):
        with open_store(tmp_path):
            pass
    assert tables(old) == tables(tmp_path / "new" / "jobs.db")


def test_a_migration_that_fails_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    """It is rolled back, and the next start tries again."""
    old = first_version(tmp_path, "CREATE INDEX jobs_by_account ON jobs (id);")
    before = tables(old)
    with pytest.raises(BadRequest, match="jobs_by_account"), open_store(tmp_path):
        pass
    assert tables(old) == before

"""The tables of jobs, in SQL that SQLite and PostgreSQL both support.

Times are Unix seconds. JSON is stored in text columns: it is never searched.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)
from sqlalchemy.schema import CreateIndex

from whisperlive_hybrid.storage.database import Schema

metadata: Final = MetaData()

jobs: Final = Table(
    "jobs",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("id", String(40), nullable=False, unique=True),
    Column("status", String(16), nullable=False),
    Column("model", Text, nullable=False),
    Column("audio", Text, nullable=False),
    Column("language", String(16)),
    Column("webhook_url", Text),
    Column("text", Text, nullable=False, default=""),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("expires_at", Double),
    # The lease: the worker that runs the job, and the time until which no other may take it.
    Column("owner", String(40)),
    Column("leased_until", Double),
    # The submitter (`Caller.account`); "" for jobs stored before there were accounts.
    Column("account", Text, nullable=False, server_default=""),
    Index("jobs_by_status", "status", "number"),
    Index("jobs_by_account", "account", "number"),
    sqlite_autoincrement=True,  # the number of a deleted job is never used again
)

sources: Final = Table(
    "sources",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("job", ForeignKey("jobs.number", ondelete="CASCADE"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("origin", String(16), nullable=False),
    Column("url", Text),
    Column("spooled", String(80), nullable=False),
    Column("status", String(16), nullable=False),
    Column("done", Double, nullable=False, default=0.0),
    Column("total", Double),
    Column("failure", Text),
    Column("result", Text),
    Index("sources_by_job", "job", "position", unique=True),
    sqlite_autoincrement=True,
)

# The results of windows, inserted and never replaced: decoding a stored window again is a defect,
# and the primary key makes it fail.
readings: Final = Table(
    "readings",
    metadata,
    Column("source", ForeignKey("sources.number", ondelete="CASCADE"), primary_key=True),
    # The window, as samples [start, end) of the recording.
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("end", BigInteger, primary_key=True, autoincrement=False),
    # The requested language; "" if it was to be detected (primary keys cannot be null).
    Column("language", String(16), primary_key=True),
    Column("reading", Text, nullable=False),
)

deliveries: Final = Table(
    "deliveries",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("job", ForeignKey("jobs.number", ondelete="CASCADE"), nullable=False, unique=True),
    Column("message_id", String(40), nullable=False),
    Column("url", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("failed_tries", Integer, nullable=False, default=0),
    Column("due_at", Double, nullable=False),
    Index("deliveries_by_time", "due_at"),
)


def _add_account(connection: Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE jobs ADD COLUMN account TEXT DEFAULT '' NOT NULL")
    by_account = next(index for index in jobs.indexes if index.name == "jobs_by_account")
    connection.execute(CreateIndex(by_account))


SCHEMA: Final = Schema("jobs", metadata, version=2, migrations={1: _add_account})

"""The tables of access, in a file of their own: the command line changes it beside a server.

Whoever adds a table here needs no new version.
"""

from typing import Final

from sqlalchemy import Boolean, Column, Double, Integer, MetaData, String, Table, Text

from whisperlive_hybrid.store.versions import Schema

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

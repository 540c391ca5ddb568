"""The windows of one file that were read already: what lets a job go on after a crash."""

from sqlalchemy import Connection, insert, select

from whisperlive_hybrid.jobs.stored import reading_of_text, reading_to_text
from whisperlive_hybrid.store.database import Database
from whisperlive_hybrid.store.schema import readings
from whisperlive_hybrid.types import SAMPLE_RATE, Reading, Window, joined_text

Key = tuple[int, int, str]
"""Where a window lies, as samples [start, end), and the language asked for, "" for none."""


class SourceMemory:
    """The `Memory` of one file. `recalled` and `kept` count windows, for the log."""

    def __init__(self, database: Database, source: int, known: set[Key]) -> None:
        self._database = database
        self._source = source
        self.known = known
        self.recalled = 0
        self.kept = 0

    @staticmethod
    async def of(database: Database, source: int) -> "SourceMemory":
        """Look up which windows are known; the readings themselves stay on the disk."""
        return SourceMemory(database, source, await database.run(_keys, source))

    @property
    def read_to(self) -> float:
        """Recording time of the last sample that is known to be read."""
        return max((end for _, end, _ in self.known), default=0) / SAMPLE_RATE

    async def recall(self, window: Window, language: str | None) -> Reading | None:
        """What was read in this very window, if anything."""
        key = _key(window, language)
        if key not in self.known:
            return None
        self.recalled += 1
        return reading_of_text(await self._database.run(_reading, self._source, key))

    async def text(self) -> str:
        """All that was read so far, in the order of the recording.

        A window that was read again, when the language was sure, says what it said then.
        """
        return await self._database.run(_text, self._source)

    async def keep(self, window: Window, language: str | None, reading: Reading) -> None:
        """Store a reading; when this returns, no crash undoes it.

        A window is stored once: a second time would be a defect, and the database refuses it.
        """
        key, written = _key(window, language), reading_to_text(reading)
        await self._database.run(_keep, self._source, key, written)
        self.known.add(key)
        self.kept += 1


def _key(window: Window, language: str | None) -> Key:
    last = window.spans[-1]
    return window.spans[0].recording_sample, last.recording_sample + last.length, language or ""


def _keys(connection: Connection, source: int) -> set[Key]:
    known = select(readings.c.start, readings.c.end, readings.c.language)
    rows = connection.execute(known.where(readings.c.source == source))
    return {(row.start, row.end, row.language) for row in rows}


def _reading(connection: Connection, source: int, key: Key) -> str:
    start, end, language = key
    found = select(readings.c.reading).where(
        readings.c.source == source,
        readings.c.start == start,
        readings.c.end == end,
        readings.c.language == language,
    )
    written: str = connection.scalars(found).one()
    return written


def _text(connection: Connection, source: int) -> str:
    found = select(readings.c.start, readings.c.end, readings.c.reading)
    in_order = found.where(readings.c.source == source).order_by(
        readings.c.start, readings.c.end, readings.c.language
    )
    last = {(row.start, row.end): row.reading for row in connection.execute(in_order)}
    read = map(reading_of_text, last.values())
    return joined_text([segment for reading in read for segment in reading.segments])


def _keep(connection: Connection, source: int, key: Key, written: str) -> None:
    start, end, language = key
    row = {"source": source, "start": start, "end": end, "language": language, "reading": written}
    connection.execute(insert(readings).values(row))

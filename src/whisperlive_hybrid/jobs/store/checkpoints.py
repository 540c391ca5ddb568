"""The windows of one file that were read already: what lets a job go on after a crash."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, insert, select

from whisperlive_hybrid.jobs.model import Result
from whisperlive_hybrid.jobs.store.schema import readings
from whisperlive_hybrid.protocol.errors import ErrorInfo
from whisperlive_hybrid.protocol.openai.request import AudioRequest, Granularity
from whisperlive_hybrid.speech.regions import VadOptions
from whisperlive_hybrid.storage.database import Database
from whisperlive_hybrid.types import (
    SAMPLE_RATE,
    DecodeOptions,
    DecodeResult,
    Language,
    Segment,
    Task,
    Thresholds,
    Window,
    Word,
    join_text,
)

Written = dict[str, Any]
"""A JSON object as `json` reads it."""


def reading_to_text(reading: DecodeResult) -> str:
    """What the model answered for one window."""
    return _dumped(
        {
            "segments": _segments(reading.segments),
            "language": asdict(reading.language),
            "was_doubted": reading.was_doubted,
            "unread": reading.unread,
            "detected": reading.detected and asdict(reading.detected),
        }
    )


def reading_of_text(text: str) -> DecodeResult:
    """The inverse of `reading_to_text`."""
    written = json.loads(text)
    detected = written.get("detected")  # readings that an earlier version has stored have none
    return DecodeResult(
        _segments_of(written["segments"]),
        Language(**written["language"]),
        was_doubted=written["was_doubted"],
        # Readings and results that an earlier version has stored tell nothing of it.
        unread=_stretches_of(written.get("unread", ())),
        detected=Language(**detected) if detected else None,
    )


def result_to_text(result: Result) -> str:
    """What was said in one file."""
    return _dumped(asdict(result) | {"segments": _segments(result.segments)})


def result_of_text(text: str) -> Result:
    """The inverse of `result_to_text`."""
    written = json.loads(text)
    return Result(
        _segments_of(written["segments"]),
        written["language"],
        written["duration"],
        _stretches_of(written.get("unread", ())),
    )


def audio_to_text(audio: AudioRequest) -> str:
    """How to read; without the model, and without a format, which is chosen with the result."""
    options = asdict(audio.options) | {"task": audio.options.task.value}
    granularities = sorted(each.value for each in audio.granularities)
    return _dumped(
        {
            "options": options,
            "vad": asdict(audio.vad),
            "granularities": granularities,
            "tells_languages": audio.lists_languages,
            "audio_track": audio.audio_track,
        }
    )


def audio_of_text(text: str, model: str) -> AudioRequest:
    """The inverse of `audio_to_text`."""
    written = json.loads(text)
    options: Written = written["options"]
    options["task"] = Task(options["task"])
    options["temperatures"] = tuple(options["temperatures"])
    options["candidates"] = tuple(options["candidates"])
    options["thresholds"] = Thresholds(**options["thresholds"])
    return AudioRequest(
        options=DecodeOptions(**options),
        vad=VadOptions(**written["vad"]),
        granularities=frozenset(map(Granularity, written["granularities"])),
        model=model,
        lists_languages=written["tells_languages"],
        audio_track=written.get("audio_track"),  # jobs of earlier versions have none
    )


def failure_to_text(failure: ErrorInfo | None) -> str | None:
    """Why a file failed, if it did."""
    return None if failure is None else _dumped(asdict(failure))


def failure_of_text(text: str | None) -> ErrorInfo | None:
    """The inverse of `failure_to_text`."""
    return None if text is None else ErrorInfo(**json.loads(text))


def _segments(segments: Iterable[Segment]) -> list[Written]:
    return [asdict(segment) for segment in segments]


def _segments_of(written: Iterable[Written]) -> tuple[Segment, ...]:
    return tuple(_segment_of(each) for each in written)


def _stretches_of(written: Iterable[Sequence[float]]) -> tuple[tuple[float, float], ...]:
    return tuple((start, end) for start, end in written)


def _segment_of(written: Written) -> Segment:
    words = written["words"]
    timed = None if words is None else tuple(Word(**word) for word in words)
    return Segment(**(written | {"tokens": tuple(written["tokens"]), "words": timed}))


def _dumped(written: Written) -> str:
    return json.dumps(written, ensure_ascii=False, separators=(",", ":"))


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

    async def recall(self, window: Window, language: str | None) -> DecodeResult | None:
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

    async def keep(self, window: Window, language: str | None, reading: DecodeResult) -> None:
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
    return join_text([segment for reading in read for segment in reading.segments])


def _keep(connection: Connection, source: int, key: Key, written: str) -> None:
    start, end, language = key
    row = {"source": source, "start": start, "end": end, "language": language, "reading": written}
    connection.execute(insert(readings).values(row))

"""Checkpoints of files: decoded windows are stored, so that a job continues after a crash."""

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

JsonObject = dict[str, Any]

Key = tuple[int, int, str]
"""A window as samples [start, end) of the recording, and its requested language ("" for none)."""


class SourceCheckpoint:
    """The decoded windows of one file; a `Checkpoint` of the transcriber.

    `recalled` and `kept` count the windows that were loaded and stored, for the log.
    """

    def __init__(self, database: Database, source: int, known: set[Key]) -> None:
        self._database = database
        self._source = source
        self.known = known
        self.recalled = 0
        self.kept = 0

    @staticmethod
    async def load(database: Database, source: int) -> "SourceCheckpoint":
        """Load the keys of the stored windows; their results stay on the disk."""
        return SourceCheckpoint(database, source, await database.run(select_keys, source))

    @property
    def read_to(self) -> float:
        """Recording time of the end of the last stored window, in seconds."""
        return max((end for _, end, _ in self.known), default=0) / SAMPLE_RATE

    async def recall(self, window: Window, language: str | None) -> DecodeResult | None:
        """Return the stored result of exactly this window and language, if there is one."""
        key = _key_of(window, language)
        # In memory: most windows are new, and need no query.
        if key not in self.known:
            return None
        self.recalled += 1
        return load_decode_result(await self._database.run(select_decode_result, self._source, key))

    async def text(self) -> str:
        """Return the text of all stored windows, in the order of the recording.

        A window that was decoded again with the detected language counts with that result.
        """
        return await self._database.run(select_text, self._source)

    async def keep(self, window: Window, language: str | None, reading: DecodeResult) -> None:
        """Store a result; when this returns, it survives a crash.

        A window is stored once: a second time would be a defect, and the database raises.
        """
        key, text = _key_of(window, language), dump_decode_result(reading)
        await self._database.run(insert_decode_result, self._source, key, text)
        self.known.add(key)
        self.kept += 1


def _key_of(window: Window, language: str | None) -> Key:
    last = window.spans[-1]
    return window.spans[0].recording_sample, last.recording_sample + last.length, language or ""


def select_keys(connection: Connection, source: int) -> set[Key]:
    """Return the keys of all stored windows of a file."""
    columns = select(readings.c.start, readings.c.end, readings.c.language)
    rows = connection.execute(columns.where(readings.c.source == source))
    return {(row.start, row.end, row.language) for row in rows}


def select_decode_result(connection: Connection, source: int, key: Key) -> str:
    """Return the result of a window as it is stored."""
    start, end, language = key
    query = select(readings.c.reading).where(
        readings.c.source == source,
        readings.c.start == start,
        readings.c.end == end,
        readings.c.language == language,
    )
    text: str = connection.scalars(query).one()
    return text


def select_text(connection: Connection, source: int) -> str:
    """Return the text of all stored windows of a file, in the order of the recording."""
    columns = select(readings.c.start, readings.c.end, readings.c.reading)
    in_order = columns.where(readings.c.source == source).order_by(
        readings.c.start, readings.c.end, readings.c.language
    )
    # Of two rows of one window, the last wins: a language sorts after "", the detection.
    last = {(row.start, row.end): row.reading for row in connection.execute(in_order)}
    results = map(load_decode_result, last.values())
    return join_text([segment for result in results for segment in result.segments])


def insert_decode_result(connection: Connection, source: int, key: Key, text: str) -> None:
    """Store the result of a window."""
    start, end, language = key
    row = {"source": source, "start": start, "end": end, "language": language, "reading": text}
    connection.execute(insert(readings).values(row))


def dump_decode_result(result: DecodeResult) -> str:
    """Return the result of a window as JSON."""
    return _dump(
        {
            "segments": _dump_segments(result.segments),
            "language": asdict(result.language),
            "was_doubted": result.was_doubted,
            "unread": result.unread,
            "detected": result.detected and asdict(result.detected),
        }
    )


def load_decode_result(text: str) -> DecodeResult:
    """Return the result of a window from `dump_decode_result`."""
    stored = json.loads(text)
    detected = stored.get("detected")  # absent in results of earlier versions, like "unread"
    return DecodeResult(
        _load_segments(stored["segments"]),
        Language(**stored["language"]),
        was_doubted=stored["was_doubted"],
        unread=_load_stretches(stored.get("unread", ())),
        detected=Language(**detected) if detected else None,
    )


def dump_result(result: Result) -> str:
    """Return the result of a file as JSON."""
    return _dump(asdict(result) | {"segments": _dump_segments(result.segments)})


def load_result(text: str) -> Result:
    """Return the result of a file from `dump_result`."""
    stored = json.loads(text)
    return Result(
        _load_segments(stored["segments"]),
        stored["language"],
        stored["duration"],
        _load_stretches(stored.get("unread", ())),  # absent in results of earlier versions
    )


def dump_audio(audio: AudioRequest) -> str:
    """Return the options of a job as JSON, without its model, which has a column of its own."""
    options = asdict(audio.options) | {"task": audio.options.task.value}
    granularities = sorted(granularity.value for granularity in audio.granularities)
    return _dump(
        {
            "options": options,
            "vad": asdict(audio.vad),
            "granularities": granularities,
            "tells_languages": audio.lists_languages,
            "audio_track": audio.audio_track,
        }
    )


def load_audio(text: str, model: str) -> AudioRequest:
    """Return the options of a job from `dump_audio`."""
    stored = json.loads(text)
    options: JsonObject = stored["options"]
    options["task"] = Task(options["task"])
    options["temperatures"] = tuple(options["temperatures"])
    options["candidates"] = tuple(options["candidates"])
    options["thresholds"] = Thresholds(**options["thresholds"])
    return AudioRequest(
        options=DecodeOptions(**options),
        vad=VadOptions(**stored["vad"]),
        granularities=frozenset(map(Granularity, stored["granularities"])),
        model=model,
        lists_languages=stored["tells_languages"],
        audio_track=stored.get("audio_track"),  # absent in jobs of earlier versions
    )


def dump_failure(failure: ErrorInfo | None) -> str | None:
    """Return the error of a file as JSON; None without one."""
    return None if failure is None else _dump(asdict(failure))


def load_failure(text: str | None) -> ErrorInfo | None:
    """Return the error of a file from `dump_failure`."""
    return None if text is None else ErrorInfo(**json.loads(text))


def _dump_segments(segments: Iterable[Segment]) -> list[JsonObject]:
    return [asdict(segment) for segment in segments]


def _load_segments(stored: Iterable[JsonObject]) -> tuple[Segment, ...]:
    segments: list[Segment] = []
    for fields in stored:
        words = fields["words"]
        timed = None if words is None else tuple(Word(**word) for word in words)
        segments.append(Segment(**(fields | {"tokens": tuple(fields["tokens"]), "words": timed})))
    return tuple(segments)


def _load_stretches(stored: Iterable[Sequence[float]]) -> tuple[tuple[float, float], ...]:
    return tuple((start, end) for start, end in stored)


def _dump(value: JsonObject) -> str:
    # Compact, since one is stored for every window.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

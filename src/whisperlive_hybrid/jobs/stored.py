"""How requests, readings and results lie in the store: JSON that comes back exactly as it went.

A resumed job must end with the numbers of an undisturbed one, so every float is written with all
its digits (`json` uses the shortest text that reads back as the same number).
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from whisperlive_hybrid.jobs.job import Result
from whisperlive_hybrid.protocol.failure import Failure
from whisperlive_hybrid.protocol.openai.request import AudioRequest, Granularity
from whisperlive_hybrid.speech.regions import VadOptions
from whisperlive_hybrid.types import (
    DecodeOptions,
    Language,
    Reading,
    Segment,
    Task,
    Thresholds,
    Word,
)

Written = dict[str, Any]
"""A JSON object as `json` reads it."""


def reading_to_text(reading: Reading) -> str:
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


def reading_of_text(text: str) -> Reading:
    """The inverse of `reading_to_text`."""
    written = json.loads(text)
    detected = written.get("detected")  # readings that an earlier version has stored have none
    return Reading(
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
            "tells_languages": audio.tells_languages,
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
        tells_languages=written["tells_languages"],
        audio_track=written.get("audio_track"),  # jobs of earlier versions have none
    )


def failure_to_text(failure: Failure | None) -> str | None:
    """Why a file failed, if it did."""
    return None if failure is None else _dumped(asdict(failure))


def failure_of_text(text: str | None) -> Failure | None:
    """The inverse of `failure_to_text`."""
    return None if text is None else Failure(**json.loads(text))


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

"""What a transcript is written as: the same text, byte for byte, whoever made it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from whisperlive_hybrid.protocol.openai.request import (
    TIMED_FORMATS,
    AudioRequest,
    Granularity,
    ResponseFormat,
)
from whisperlive_hybrid.protocol.openai.response import render_transcript
from whisperlive_hybrid.text.cues import CueStyle
from whisperlive_hybrid.transcribe import Transcript
from whisperlive_hybrid.types import DecodeOptions


class OutputFormat(Enum):
    """The value is the suffix of the file."""

    TXT = "txt"
    SRT = "srt"
    VTT = "vtt"
    JSON = "json"

    @property
    def has_cues(self) -> bool:
        """True for a file of subtitles."""
        return self in (OutputFormat.SRT, OutputFormat.VTT)


_ALIASES: Final = {"text": OutputFormat.TXT.value}
"""The HTTP API's name for the same format; its files are NAME.txt all the same."""

BODIES: Final = {
    OutputFormat.TXT: ResponseFormat.TEXT,
    OutputFormat.SRT: ResponseFormat.SRT,
    OutputFormat.VTT: ResponseFormat.VTT,
    OutputFormat.JSON: ResponseFormat.VERBOSE_JSON,
}
"""What the HTTP API calls them."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted of every recording of a batch."""

    options: DecodeOptions
    formats: tuple[OutputFormat, ...]
    audio_track: int | None = None
    """Which audio track of each recording, counted from 0; None is its default one."""
    cue_style: CueStyle = field(default_factory=CueStyle)
    """How srt and vtt are cut."""

    @property
    def has_times(self) -> bool:
        """True if one of the formats holds times."""
        return any(BODIES[each] in TIMED_FORMATS for each in self.formats)

    @property
    def granularities(self) -> tuple[Granularity, ...]:
        """What gets times in JSON."""
        return (Granularity.SEGMENT, *((Granularity.WORD,) if self.options.words else ()))


@dataclass(frozen=True, slots=True)
class Texts:
    """What one recording became: a text for each format, and its seconds of audio."""

    by_format: Mapping[OutputFormat, str]
    duration: float


def texts_of(transcript: Transcript, wish: Wish) -> Texts:
    """A transcript in all formats that are wanted."""
    return Texts(
        {each: written(transcript, each, wish) for each in wish.formats}, transcript.duration
    )


def written(transcript: Transcript, wanted: OutputFormat, wish: Wish) -> str:
    """A transcript as the text of a file of that format."""
    request = AudioRequest(
        options=wish.options,
        response_format=BODIES[wanted],
        granularities=frozenset(wish.granularities),
        cue_style=wish.cue_style,
    )
    language, duration = transcript.language.code, transcript.duration
    body = render_transcript(request, transcript.segments, language, duration, transcript.unread)
    return body if isinstance(body, str) else pretty(body)


def pretty(body: object) -> str:
    """A JSON answer as it is written to a file: keys in their order, letters as they are."""
    return json.dumps(body, ensure_ascii=False, indent=2) + "\n"


def named_formats(names: str) -> tuple[OutputFormat, ...]:
    """Return the formats of a list with commas, each once.

    Raises `ValueError` for an empty list and for an unknown name.
    """
    asked = [part.strip().lower() for part in names.split(",") if part.strip()]
    if not asked:
        raise ValueError("no format is named")
    return tuple(dict.fromkeys(OutputFormat(_ALIASES.get(name, name)) for name in asked))

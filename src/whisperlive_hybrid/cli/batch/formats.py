"""Output formats of transcripts; local and remote runs write the same bytes."""

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
    """A format; its value is the suffix of the file."""

    TXT = "txt"
    SRT = "srt"
    VTT = "vtt"
    JSON = "json"

    @property
    def has_cues(self) -> bool:
        """True for subtitle formats."""
        return self in (OutputFormat.SRT, OutputFormat.VTT)


_ALIASES: Final = {"text": OutputFormat.TXT.value}
"""Names of the HTTP API for the same formats; the file of `text` is NAME.txt nevertheless."""

BODIES: Final = {
    OutputFormat.TXT: ResponseFormat.TEXT,
    OutputFormat.SRT: ResponseFormat.SRT,
    OutputFormat.VTT: ResponseFormat.VTT,
    OutputFormat.JSON: ResponseFormat.VERBOSE_JSON,
}
"""The HTTP API's response format for each output format."""


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """Options and output formats of all recordings of a batch."""

    options: DecodeOptions
    formats: tuple[OutputFormat, ...]
    audio_track: int | None = None
    """Audio track of each recording, counted from 0; None for the recording's default."""
    cue_style: CueStyle = field(default_factory=CueStyle)
    """Options for cutting srt and vtt into cues."""

    @property
    def has_times(self) -> bool:
        """True if one of the formats contains times."""
        return any(BODIES[output_format] in TIMED_FORMATS for output_format in self.formats)

    @property
    def granularities(self) -> tuple[Granularity, ...]:
        """The units that get times in JSON."""
        return (Granularity.SEGMENT, *((Granularity.WORD,) if self.options.words else ()))


@dataclass(frozen=True, slots=True)
class Texts:
    """The transcript of one recording as a text for each format."""

    by_format: Mapping[OutputFormat, str]
    duration: float
    """Seconds of audio."""


def render_all(transcript: Transcript, request: BatchRequest) -> Texts:
    """Render a transcript in all requested formats."""
    texts = {
        output_format: render(transcript, output_format, request)
        for output_format in request.formats
    }
    return Texts(texts, transcript.duration)


def render(transcript: Transcript, output_format: OutputFormat, request: BatchRequest) -> str:
    """Render a transcript as the content of a file."""
    audio_request = AudioRequest(
        options=request.options,
        response_format=BODIES[output_format],
        granularities=frozenset(request.granularities),
        cue_style=request.cue_style,
    )
    language, duration = transcript.language.code, transcript.duration
    body = render_transcript(
        audio_request, transcript.segments, language, duration, transcript.unread
    )
    return body if isinstance(body, str) else to_pretty_json(body)


def to_pretty_json(body: object) -> str:
    """Format a JSON response for a file: keys in their order, non-ASCII letters unescaped."""
    return json.dumps(body, ensure_ascii=False, indent=2) + "\n"


def parse_formats(names: str) -> tuple[OutputFormat, ...]:
    """Parse a comma-separated list of formats, without duplicates.

    Raises `ValueError` for an empty list and for an unknown name.
    """
    wanted = [part.strip().lower() for part in names.split(",") if part.strip()]
    if not wanted:
        raise ValueError("no format is named")
    return tuple(dict.fromkeys(OutputFormat(_ALIASES.get(name, name)) for name in wanted))

"""Segments as plain text, SubRip (srt) and WebVTT (vtt) files.

A cue is one line of text between two times on the recording clock. Whatever the segments hold, the
files stay well-formed: a blank line or an arrow in the text cannot end a cue, and no cue ends
before it starts.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from whisperlive_hybrid.types import Segment, joined_text

_SHORTEST_CUE_MS: Final = 1
"""A cue of no length is never shown, and WebVTT forbids it."""

TAIL: Final = 200
"""Characters of a text that are shown while more is coming."""


def tail(text: str) -> str:
    """The end of a text that may be long."""
    return text[-TAIL:]


def plain_text(segments: Sequence[Segment]) -> str:
    """The running text and a final newline."""
    return joined_text(segments) + "\n"


def srt(segments: Sequence[Segment]) -> str:
    """SubRip: numbered cues, comma before the milliseconds, a blank line after each cue."""
    return "".join(
        f"{number}\n{_clock(start, ',')} --> {_clock(end, ',')}\n{text}\n\n"
        for number, (start, end, text) in enumerate(_cues(segments), start=1)
    )


def vtt(segments: Sequence[Segment]) -> str:
    """WebVTT: a header, then cues with a dot before the milliseconds."""
    cues = (
        f"{_clock(start, '.')} --> {_clock(end, '.')}\n{_escaped(text)}\n\n"
        for start, end, text in _cues(segments)
    )
    return "WEBVTT\n\n" + "".join(cues)


def _cues(segments: Sequence[Segment]) -> Iterator[tuple[int, int, str]]:
    """(start, end, text) in milliseconds; segments without text make no cue."""
    for segment in segments:
        # One line, and the shorter arrow of openai/whisper's writers: both formats end the text
        # at a blank line and read "-->" as the times of the next cue.
        text = " ".join(segment.text.split()).replace("-->", "->")
        if text:
            start = _milliseconds(segment.start)
            yield start, max(_milliseconds(segment.end), start + _SHORTEST_CUE_MS), text


def _milliseconds(seconds: float) -> int:
    """Rounded as JSON answers round, so that every format of a transcript tells the same times."""
    return round(round(seconds, 3) * 1000)


def _clock(milliseconds: int, mark: str) -> str:
    """HH:MM:SS and milliseconds after `mark`; hours grow beyond two digits."""
    seconds, thousandths = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{mark}{thousandths:03}"


def _escaped(text: str) -> str:
    """Text that WebVTT does not take for markup; SubRip has no escapes."""
    return text.replace("&", "&amp;").replace("<", "&lt;")

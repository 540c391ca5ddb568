"""Segments as plain text, SubRip (srt) and WebVTT (vtt) files.

The files are well-formed for any segments: a blank line or an arrow in the text cannot end a cue,
and no cue ends before it starts.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from whisperlive_hybrid.text.cues import CueStyle, SubtitleCue, Unit, split_cues
from whisperlive_hybrid.types import Segment, join_text

_SHORTEST_CUE_MS: Final = 1
"""A cue of no length is never shown, and WebVTT forbids it."""

TAIL: Final = 200
"""Characters of the end of a text that are shown as progress."""


def tail(text: str) -> str:
    """Return the last `TAIL` characters of a text."""
    return text[-TAIL:]


def plain_text(segments: Sequence[Segment]) -> str:
    """Return the text of all segments and a final newline."""
    return join_text(segments) + "\n"


def srt(segments: Sequence[Segment], style: CueStyle | None = None) -> str:
    """Return a SubRip file: numbered cues, with a comma before the milliseconds."""
    return "".join(
        f"{number}\n{_clock(start, ',')} --> {_clock(end, ',')}\n{text}\n\n"
        for number, (start, end, text) in enumerate(_cue_texts(segments, style, str), start=1)
    )


def vtt(segments: Sequence[Segment], style: CueStyle | None = None) -> str:
    """Return a WebVTT file: a header, then cues with a point before the milliseconds."""

    def escape(text: str) -> str:  # SubRip has no escapes
        return text.replace("&", "&amp;").replace("<", "&lt;")

    cues = (
        f"{_clock(start, '.')} --> {_clock(end, '.')}\n{text}\n\n"
        for start, end, text in _cue_texts(segments, style, escape)
    )
    return "WEBVTT\n\n" + "".join(cues)


_Escape = Callable[[str], str]


def _cue_texts(
    segments: Sequence[Segment], style: CueStyle | None, escape: _Escape
) -> Iterator[tuple[int, int, str]]:
    """Yield start and end in milliseconds and the text of each cue, in order."""
    style = style or CueStyle()
    for cue in split_cues(segments, style):
        start = _milliseconds(cue.start)
        end = max(_milliseconds(cue.end), start + _SHORTEST_CUE_MS)
        if style.highlight_words:
            yield from _highlight_words(cue, start, end, escape)
        else:
            yield start, end, _text(cue, escape)


def _highlight_words(
    cue: SubtitleCue, start: int, end: int, escape: _Escape
) -> Iterator[tuple[int, int, str]]:
    """Yield a cue once for each of its words, underlined, and without that in the pauses."""
    shown_to = start
    for unit in (unit for line in cue.lines for unit in line):
        # Words may overlap, but a player shows overlapping cues at the same time.
        first, last = max(shown_to, _milliseconds(unit.start)), min(end, _milliseconds(unit.end))
        if shown_to < first:
            yield shown_to, first, _text(cue, escape)
        if first < last:
            yield first, last, _text(cue, escape, unit)
        shown_to = max(first, last)
    if shown_to < end:
        yield shown_to, end, _text(cue, escape)


def _text(cue: SubtitleCue, escape: _Escape, underlined: Unit | None = None) -> str:
    """Return the lines of a cue, with one word in tags for underlining, which both formats have."""
    lines: list[str] = []
    for units in cue.lines:
        line = ""
        for unit in units:
            # Both formats parse "-->" as times; openai/whisper writes this shorter arrow, too.
            text = escape(unit.text.replace("-->", "->"))
            space = " " if line and unit.is_spaced else ""
            line += space + (f"<u>{text}</u>" if unit is underlined else text)
        lines.append(line)
    return "\n".join(lines)


def _milliseconds(seconds: float) -> int:
    """Round like JSON responses do, so that all formats of a transcript have the same times."""
    return round(round(seconds, 3) * 1000)


def _clock(milliseconds: int, mark: str) -> str:
    """Return HH:MM:SS, `mark` and the milliseconds; there may be more than two digits of hours."""
    seconds, thousandths = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{mark}{thousandths:03}"

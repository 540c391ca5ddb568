"""Segments as plain text, SubRip (srt) and WebVTT (vtt) files.

Whatever the segments hold, the files stay well-formed: a blank line or an arrow in the text cannot
end a cue, and no cue ends before it starts.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from whisperlive_hybrid.text.cues import Cue, CueStyle, Unit, cut_cues
from whisperlive_hybrid.types import Segment, join_text

_SHORTEST_CUE_MS: Final = 1
"""A cue of no length is never shown, and WebVTT forbids it."""

TAIL: Final = 200
"""Characters of a text that are shown while more is coming."""


def tail(text: str) -> str:
    """The end of a text that may be long."""
    return text[-TAIL:]


def plain_text(segments: Sequence[Segment]) -> str:
    """The running text and a final newline."""
    return join_text(segments) + "\n"


def srt(segments: Sequence[Segment], style: CueStyle | None = None) -> str:
    """SubRip: numbered cues, comma before the milliseconds, a blank line after each cue."""
    return "".join(
        f"{number}\n{_clock(start, ',')} --> {_clock(end, ',')}\n{text}\n\n"
        for number, (start, end, text) in enumerate(_shown(segments, style, str), start=1)
    )


def vtt(segments: Sequence[Segment], style: CueStyle | None = None) -> str:
    """WebVTT: a header, then cues with a dot before the milliseconds."""
    shown = (
        f"{_clock(start, '.')} --> {_clock(end, '.')}\n{text}\n\n"
        for start, end, text in _shown(segments, style, _escaped)
    )
    return "WEBVTT\n\n" + "".join(shown)


_Escape = Callable[[str], str]


def _shown(
    segments: Sequence[Segment], style: CueStyle | None, escape: _Escape
) -> Iterator[tuple[int, int, str]]:
    """(start, end, text) in milliseconds of all that is shown, in order."""
    style = style or CueStyle()
    for cue in cut_cues(segments, style):
        start = _milliseconds(cue.start)
        end = max(_milliseconds(cue.end), start + _SHORTEST_CUE_MS)
        if style.highlight_words:
            yield from _highlighted(cue, start, end, escape)
        else:
            yield start, end, _text(cue, escape)


def _highlighted(cue: Cue, start: int, end: int, escape: _Escape) -> Iterator[tuple[int, int, str]]:
    """A cue once for each of its words, and as it is in the pauses between them."""
    shown_to = start
    for unit in (unit for line in cue.lines for unit in line):
        first, last = max(shown_to, _milliseconds(unit.start)), min(end, _milliseconds(unit.end))
        if shown_to < first:
            yield shown_to, first, _text(cue, escape)
        if first < last:
            yield first, last, _text(cue, escape, unit)
        shown_to = max(first, last)
    if shown_to < end:
        yield shown_to, end, _text(cue, escape)


def _text(cue: Cue, escape: _Escape, underlined: Unit | None = None) -> str:
    """The lines of a cue, with tags that both formats know around one of its words."""
    lines: list[str] = []
    for units in cue.lines:
        line = ""
        for unit in units:
            # The shorter arrow of openai/whisper's writers: both formats read "-->" as times.
            text = escape(unit.text.replace("-->", "->"))
            space = " " if line and unit.is_spaced else ""
            line += space + (f"<u>{text}</u>" if unit is underlined else text)
        lines.append(line)
    return "\n".join(lines)


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

"""Segments to cues: text that can be read while it is shown, at the times of its words.

A cue holds a few lines, lasts as long as its words are said, and ends where its last word ends. The
limits have the names that openai/whisper gave them. Within the limits, cues and lines break where a
reader expects it: behind sentences, else behind clauses and in pauses, else so that the parts are
of equal length.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Final

from whisperlive_hybrid.text.words import CLOSING, ends_sentence
from whisperlive_hybrid.types import Segment, Word

LONGEST_CUE_S: Final = 7.0
"""The longest that subtitling guides allow for a cue of two full lines."""

LINE_WIDTH: Final = 42
"""Characters of a line of a subtitle in Latin script, by the same guides."""

LINE_COUNT: Final = 2

LONGEST_PAUSE_S: Final = 1.5
"""A cue that is shown through a longer pause stands over silence, or over what is not written."""

SLOWEST_LETTER_S: Final = 0.5
"""Where words are not measured, text is laid over its segment, but never more slowly."""

_UNSPACED: Final = (("\u0e00", "\u0eff"), ("\u1000", "\u109f"), ("\u3040", "\u9fff"))
"""Scripts without spaces, from first to last character: Thai and Lao, Burmese, kana and Han."""

_CLAUSE_ENDS: Final = tuple(",;:–—，、；：،؛")  # noqa: RUF001 (full-width marks are meant)
_CLAUSE_PAUSE_S: Final = 0.3
"""A pause that a listener notices."""

_COST_OF_BREAK: Final = (0.0, 0.5, 1.5)
"""Behind a sentence; behind a clause or a segment, or in a pause; elsewhere. The cost of room that
is left empty is at most 4: a break behind a clause is worth a cue that is a third empty."""
_COST_OF_ROOM: Final = 4.0


@dataclass(frozen=True, slots=True)
class CueStyle:
    """How cues are cut; None where nothing was asked for.

    With `max_line_width` and `max_line_count` the lines are filled across segments, as by
    openai/whisper; otherwise a cue reaches into the next segment only in the middle of a sentence.
    """

    max_line_width: int | None = None
    """Characters of a line."""
    max_line_count: int | None = None
    """Lines of a cue."""
    max_words_per_line: int | None = None
    """Words of a cue, as openai/whisper means it."""
    highlight_words: bool = False
    """Show a cue once for each of its words, which is underlined."""

    @property
    def width(self) -> int:
        """Characters of a line at most."""
        return self.max_line_width or LINE_WIDTH

    @property
    def count(self) -> int:
        """Lines of a cue at most."""
        return self.max_line_count or LINE_COUNT

    @property
    def fills_lines(self) -> bool:
        """True if cues reach across all segments."""
        return self.max_line_width is not None and self.max_line_count is not None


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of text that is never broken, mostly a word; times are on the recording clock."""

    text: str
    """Without space at its ends."""
    is_spaced: bool
    """True if a space parts it from the text before it."""
    start: float
    end: float
    is_first: bool
    """True for the first unit of a segment."""

    @property
    def ends_sentence(self) -> bool:
        """True if a sentence ends behind it, as far as punctuation tells."""
        return ends_sentence(self.text)

    @property
    def ends_clause(self) -> bool:
        """True if a comma or the like follows it."""
        return self.text.rstrip(CLOSING).endswith(_CLAUSE_ENDS)


@dataclass(frozen=True, slots=True)
class Cue:
    """Lines of text that are shown together."""

    lines: tuple[tuple[Unit, ...], ...]

    @property
    def start(self) -> float:
        """When its first word begins."""
        return self.lines[0][0].start

    @property
    def end(self) -> float:
        """When its last word ends."""
        return self.lines[-1][-1].end


def cut_cues(segments: Iterable[Segment], style: CueStyle) -> Iterator[Cue]:
    """Cut the text of segments into cues; each word is in exactly one of them, in order."""
    for stretch in _stretches(segments, style):
        for units in _cut(stretch, style):
            yield Cue(tuple(_lines(units, style)))


def _stretches(segments: Iterable[Segment], style: CueStyle) -> Iterator[list[Unit]]:
    """The units that may share cues: of a segment, of all, or of those that a sentence joins.

    The model's segments often end where it has lost the thread rather than where a sentence does.
    """
    held: list[Unit] = []
    for segment in segments:
        if held and not style.fills_lines and held[-1].ends_sentence:
            yield held
            held = []
        for unit in _units(segment):
            if held and unit.start - held[-1].end > LONGEST_PAUSE_S:
                yield held
                held = []
            held.append(unit)
    if held:
        yield held


def _units(segment: Segment) -> list[Unit]:
    """The units of a segment; what no space and no writing system parts is one."""
    units: list[Unit] = []
    follows_space = segment.text[:1].isspace()
    for word in _timed(segment):
        text = " ".join(word.text.split())
        follows_space = follows_space or word.text[:1].isspace()
        if not text:
            continue
        if units and not follows_space and not _begins_word(text):
            before = units[-1]
            units[-1] = replace(before, text=before.text + text, end=max(before.end, word.end))
        else:
            units.append(
                Unit(text, follows_space, word.start, max(word.start, word.end), not units)
            )
        follows_space = word.text[-1:].isspace()
    return units


def _begins_word(text: str) -> bool:
    """True if a line may begin with this text: its first letter is of a script without spaces.

    Punctuation and combining marks are no letters, so they stay with the text before them.
    """
    return text[0].isalpha() and any(first <= text[0] <= last for first, last in _UNSPACED)


def _timed(segment: Segment) -> Sequence[Word]:
    """The measured words of a segment, else its text laid over its time."""
    words = segment.words or ()
    if "".join(word.text for word in words).split() == segment.text.split():
        return words
    pieces = _pieces(segment.text)
    *before, total = [0, *accumulate(map(len, pieces))]
    start = segment.start
    end = max(start, min(segment.end, start + SLOWEST_LETTER_S * total))  # a sum would be beside it
    edges = [*(start + (end - start) * letters / total for letters in before), end]
    return [
        Word(piece, start, end, 0.0)
        for piece, (start, end) in zip(pieces, pairwise(edges), strict=True)
    ]


def _pieces(text: str) -> list[str]:
    """A text in words with their leading space; of a script without spaces, in characters."""
    pieces: list[str] = []
    for character in text:
        if not pieces or character.isspace() or _begins_word(character):
            pieces.append(character)
        else:
            pieces[-1] += character
    return pieces


def _cut(units: Sequence[Unit], style: CueStyle) -> Iterator[Sequence[Unit]]:
    """Cut units into cues at the least cost: dynamic programming over the places of the breaks."""
    least, begins = [0.0], [0]  # of the first n units: what they cost, and where their last cue is
    for end in range(1, len(units) + 1):
        best, begin = float("inf"), end - 1
        for first, fill in _cues_before(units, end, style):
            cost = least[first] + _COST_OF_ROOM * (1 - fill) ** 2
            if cost < best:
                best, begin = cost, first
        least.append(best + (_cost_of_break(units, end) if end < len(units) else 0.0))
        begins.append(begin)
    borders = [len(units)]
    while borders[-1] > 0:
        borders.append(begins[borders[-1]])
    return (units[first:end] for first, end in pairwise(reversed(borders)))


def _cues_before(units: Sequence[Unit], end: int, style: CueStyle) -> Iterator[tuple[int, float]]:
    """(first unit, full share) of each cue that may end before `units[end]`, shortest first.

    A unit that is over a limit by itself makes a cue of its own.
    """
    width, line, n_lines, has_wide = 0, 0, 1, False
    room, most_words = style.width * style.count, style.max_words_per_line or len(units)
    for first in range(end - 1, -1, -1):
        unit, seconds = units[first], units[end - 1].end - units[first].start
        added = len(unit.text) + (first < end - 1 and units[first + 1].is_spaced)
        width += added
        # Lines that are filled from the last one on are as few as those filled from the first.
        line += added
        if line > style.width and first < end - 1:
            line, n_lines = len(unit.text), n_lines + 1
        has_wide = has_wide or len(unit.text) > style.width
        is_over = has_wide or n_lines > style.count or end - first > most_words
        # Unless lines of a width are asked for, the break between two counts as a character.
        is_over = is_over or (style.max_line_width is None and width > room)
        if first < end - 1 and (is_over or seconds > LONGEST_CUE_S):
            return
        shares = width / room, (end - first) / most_words, seconds / LONGEST_CUE_S
        yield first, min(1.0, max(shares))


def _lines(units: Sequence[Unit], style: CueStyle) -> Iterator[tuple[Unit, ...]]:
    """Break a cue into as few lines as it needs; where these are two, at the best place."""
    borders = [0, *_greedy_breaks(units, style.width), len(units)]
    if len(borders) == 3:
        fitting = [
            i
            for i in range(1, len(units))
            if max(_width(units[:i]), _width(units[i:])) <= style.width
        ]
        borders[1] = min(
            fitting or borders[1:2],
            key=lambda i: (
                _cost_of_break(units, i) + abs(_width(units[:i]) - _width(units[i:])) / style.width
            ),
        )
    return (tuple(units[first:end]) for first, end in pairwise(borders))


def _greedy_breaks(units: Sequence[Unit], width: int) -> list[int]:
    """Where lines begin that are filled as far as words allow."""
    breaks: list[int] = []
    filled = 0
    for i, unit in enumerate(units):
        wider = filled + unit.is_spaced + len(unit.text)
        if i and wider > width:
            breaks.append(i)
        filled = wider if i and wider <= width else len(unit.text)
    return breaks


def _width(units: Sequence[Unit]) -> int:
    """Characters of units in one line."""
    return sum(unit.is_spaced + len(unit.text) for unit in units) - units[0].is_spaced


def _cost_of_break(units: Sequence[Unit], i: int) -> float:
    """How much a break before `units[i]` disturbs reading."""
    before, behind = units[i - 1], units[i]
    if before.ends_sentence:
        return _COST_OF_BREAK[0]
    has_pause = behind.start - before.end >= _CLAUSE_PAUSE_S
    if before.ends_clause or behind.is_first or has_pause:
        return _COST_OF_BREAK[1]
    return _COST_OF_BREAK[2]

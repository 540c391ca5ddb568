"""Subtitle cues from segments: a few lines of text at the times of their words.

A cue begins with its first word and ends with its last one. Its limits are named as in
openai/whisper. Within the limits, cues and lines break where a reader expects it: after sentences,
else after clauses and in pauses, else so that the parts are of equal length.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Final

from whisperlive_hybrid.text.words import CLOSING, ends_sentence
from whisperlive_hybrid.types import Segment, Word

LONGEST_CUE_S: Final = 7.0
"""Longest cue of two full lines, by subtitling guides."""

LINE_WIDTH: Final = 42
"""Characters of a line in Latin script, by the same guides."""

LINE_COUNT: Final = 2

LONGEST_PAUSE_S: Final = 1.5
"""Longest pause within a cue; in a longer one the cue would be shown over silence, or over speech
without text."""

SLOWEST_LETTER_S: Final = 0.5
"""Longest time of a letter where text without word times is spread over its segment."""

_UNSPACED: Final = (("\u0e00", "\u0eff"), ("\u1000", "\u109f"), ("\u3040", "\u9fff"))
"""First and last characters of scripts without spaces: Thai and Lao, Burmese, kana and Han."""

_CLAUSE_ENDS: Final = tuple(",;:–—，、；：،؛")  # noqa: RUF001 (full-width marks are meant)
_CLAUSE_PAUSE_S: Final = 0.3
"""Shortest pause that a listener notices."""

_COST_OF_BREAK: Final = (0.0, 0.5, 1.5)
"""Cost of a break after a sentence; after a clause or a segment, or in a pause; elsewhere."""
_COST_OF_ROOM: Final = 4.0
"""Cost of an empty cue, by the square of its empty share: a break after a clause costs as much as
a cue that is a third empty."""


@dataclass(frozen=True, slots=True)
class CueStyle:
    """Limits of cues; None for the defaults.

    With `max_line_width` and `max_line_count` lines are filled across segments, as in
    openai/whisper; otherwise a cue extends into the next segment only within a sentence.
    """

    max_line_width: int | None = None
    """Characters of a line."""
    max_line_count: int | None = None
    """Lines of a cue."""
    max_words_per_line: int | None = None
    """Words of a cue; the name is that of openai/whisper."""
    highlight_words: bool = False
    """Show a cue once for each of its words, with that word underlined."""

    @property
    def width(self) -> int:
        """Most characters of a line."""
        return self.max_line_width or LINE_WIDTH

    @property
    def count(self) -> int:
        """Most lines of a cue."""
        return self.max_line_count or LINE_COUNT

    @property
    def fills_lines(self) -> bool:
        """True if cues extend across all segments."""
        return self.max_line_width is not None and self.max_line_count is not None


@dataclass(frozen=True, slots=True)
class Unit:
    """A text without a possible break, mostly a word; times are on the recording clock."""

    text: str
    """The text without spaces around it."""
    is_spaced: bool
    """True if there is a space before it."""
    start: float
    end: float
    is_first: bool
    """True for the first unit of a segment."""

    @property
    def ends_sentence(self) -> bool:
        """True if its punctuation ends a sentence."""
        return ends_sentence(self.text)

    @property
    def ends_clause(self) -> bool:
        """True if its punctuation ends a clause, as a comma does."""
        return self.text.rstrip(CLOSING).endswith(_CLAUSE_ENDS)


@dataclass(frozen=True, slots=True)
class SubtitleCue:
    """Lines of text that are shown together."""

    lines: tuple[tuple[Unit, ...], ...]

    @property
    def start(self) -> float:
        """Start of its first word."""
        return self.lines[0][0].start

    @property
    def end(self) -> float:
        """End of its last word."""
        return self.lines[-1][-1].end


def split_cues(segments: Iterable[Segment], style: CueStyle) -> Iterator[SubtitleCue]:
    """Cut the text of segments into cues; each word is in exactly one of them, in order."""
    for group in _group_units(segments, style):
        for units in _split_into_cues(group, style):
            yield SubtitleCue(tuple(_break_lines(units, style)))


def _group_units(segments: Iterable[Segment], style: CueStyle) -> Iterator[list[Unit]]:
    """Yield groups of units that may share cues.

    A group ends before a long pause and, unless lines are filled, with a segment that ends a
    sentence. Other ends of segments are often arbitrary places in a sentence.
    """
    group: list[Unit] = []
    for segment in segments:
        if group and not style.fills_lines and group[-1].ends_sentence:
            yield group
            group = []
        for unit in _split_units(segment):
            if group and unit.start - group[-1].end > LONGEST_PAUSE_S:
                yield group
                group = []
            group.append(unit)
    if group:
        yield group


def _split_units(segment: Segment) -> list[Unit]:
    """Split a segment into units: at spaces, and before characters of scripts without spaces."""
    units: list[Unit] = []
    follows_space = segment.text[:1].isspace()
    for word in _place_words(segment):
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
    """Return True if the first letter of `text` is of a script without spaces.

    A line may begin there. Punctuation and combining marks are no letters, so that they stay with
    the text before them.
    """
    return text[0].isalpha() and any(first <= text[0] <= last for first, last in _UNSPACED)


def _place_words(segment: Segment) -> Sequence[Word]:
    """Return the measured words of a segment, else its text spread over its time by letters."""
    words = segment.words or ()
    if "".join(word.text for word in words).split() == segment.text.split():
        return words
    pieces: list[str] = []
    for character in segment.text:
        if not pieces or character.isspace() or _begins_word(character):
            pieces.append(character)
        else:
            pieces[-1] += character
    *before, total = [0, *accumulate(map(len, pieces))]
    start = segment.start
    end = max(start, min(segment.end, start + SLOWEST_LETTER_S * total))
    # The last edge is `end` itself, since the computed one may differ by a rounding error.
    edges = [*(start + (end - start) * letters / total for letters in before), end]
    return [
        Word(piece, start, end, 0.0)
        for piece, (start, end) in zip(pieces, pairwise(edges), strict=True)
    ]


def _split_into_cues(units: Sequence[Unit], style: CueStyle) -> Iterator[Sequence[Unit]]:
    """Cut units into cues at the least cost, by dynamic programming over the breaks."""
    # Of the first n units: their least cost, and the first unit of their last cue.
    least, begins = [0.0], [0]
    for end in range(1, len(units) + 1):
        best, begin = float("inf"), end - 1
        for first, fill in _possible_cues(units, end, style):
            cost = least[first] + _COST_OF_ROOM * (1 - fill) ** 2
            if cost < best:
                best, begin = cost, first
        least.append(best + (_cost_of_break(units, end) if end < len(units) else 0.0))
        begins.append(begin)
    borders = [len(units)]
    while borders[-1] > 0:
        borders.append(begins[borders[-1]])
    return (units[first:end] for first, end in pairwise(reversed(borders)))


def _possible_cues(units: Sequence[Unit], end: int, style: CueStyle) -> Iterator[tuple[int, float]]:
    """Yield (first unit, full share) of each cue that may end before `units[end]`, shortest first.

    A unit that exceeds a limit by itself is a separate cue.
    """
    width, line, n_lines, has_wide = 0, 0, 1, False
    room, most_words = style.width * style.count, style.max_words_per_line or len(units)
    for first in range(end - 1, -1, -1):
        unit, seconds = units[first], units[end - 1].end - units[first].start
        added = len(unit.text) + (first < end - 1 and units[first + 1].is_spaced)
        width += added
        # Lines that are filled backwards from the last one are as few as those filled forwards.
        line += added
        if line > style.width and first < end - 1:
            line, n_lines = len(unit.text), n_lines + 1
        has_wide = has_wide or len(unit.text) > style.width
        is_over = has_wide or n_lines > style.count or end - first > most_words
        # With the default width, the break between two lines counts as a character.
        is_over = is_over or (style.max_line_width is None and width > room)
        if first < end - 1 and (is_over or seconds > LONGEST_CUE_S):
            return
        shares = width / room, (end - first) / most_words, seconds / LONGEST_CUE_S
        yield first, min(1.0, max(shares))


def _break_lines(units: Sequence[Unit], style: CueStyle) -> Iterator[tuple[Unit, ...]]:
    """Break a cue into as few lines as it needs; if these are two, at the best place."""
    borders, filled = [0], 0
    for i, unit in enumerate(units):
        wider = filled + unit.is_spaced + len(unit.text)
        if i and wider > style.width:
            borders.append(i)
        filled = wider if i and wider <= style.width else len(unit.text)
    borders.append(len(units))
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


def _width(units: Sequence[Unit]) -> int:
    """Return the number of characters of units in one line."""
    return sum(unit.is_spaced + len(unit.text) for unit in units) - units[0].is_spaced


def _cost_of_break(units: Sequence[Unit], i: int) -> float:
    """Return how much a break before `units[i]` disturbs reading."""
    before, after = units[i - 1], units[i]
    if before.ends_sentence:
        return _COST_OF_BREAK[0]
    has_pause = after.start - before.end >= _CLAUSE_PAUSE_S
    if before.ends_clause or after.is_first or has_pause:
        return _COST_OF_BREAK[1]
    return _COST_OF_BREAK[2]

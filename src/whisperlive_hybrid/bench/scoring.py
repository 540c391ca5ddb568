"""Score a stream: word errors, and the delay until each word is displayed, stable and committed.

The delays are the word-level delays of simultaneous translation on known word times: sample n of
the stream is spoken at n / 16,000 s, and every delay counts from the end of a word.
"""

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

import numpy as np


def words_in(text: str) -> tuple[str, ...]:
    """Return the words of a text, case-folded, with letters and digits only.

    A hyphen separates words; other punctuation inside a word ("o'clock") is removed.
    """
    parts = unicodedata.normalize("NFKC", text).replace("-", " ").casefold().split()
    words = ("".join(filter(str.isalnum, unicodedata.normalize("NFKC", part))) for part in parts)
    return tuple(filter(None, words))


@dataclass(frozen=True, slots=True)
class Alignment:
    """An alignment of a hypothesis with its reference.

    `matches` are pairs (index in the reference, index in the hypothesis) of equal words, both
    increasing; `inserted` are indices of inserted words of the hypothesis; `edits` is the least
    number of substitutions, deletions and insertions.
    """

    matches: tuple[tuple[int, int], ...]
    inserted: tuple[int, ...]
    edits: int


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> Alignment:
    """Align a hypothesis with a reference with the fewest edits (Levenshtein 1966).

    Of equally good alignments, the one that pairs words earliest is chosen, so that a truncated
    text is aligned with the beginning of its reference.
    """
    costs = _edit_costs(reference, hypothesis)
    matches: list[tuple[int, int]] = []
    inserted: list[int] = []
    row = column = 0
    while row < len(reference) or column < len(hypothesis):
        cost = costs[row][column]
        # A pair comes before a deletion and an insertion: that pairs words earliest.
        if row < len(reference) and column < len(hypothesis):
            is_match = reference[row] == hypothesis[column]
            if cost == costs[row + 1][column + 1] + (not is_match):
                if is_match:
                    matches.append((row, column))
                row, column = row + 1, column + 1
                continue
        if row < len(reference) and cost == costs[row + 1][column] + 1:
            row += 1
        else:
            inserted.append(column)
            column += 1
    return Alignment(tuple(matches), tuple(inserted), costs[0][0])


def _edit_costs(reference: Sequence[str], hypothesis: Sequence[str]) -> list[list[int]]:
    """Return the edits between the suffixes from each index of reference (row) and hypothesis."""
    width = len(hypothesis)
    costs = [list(range(width, -1, -1))]
    for expected in reversed(reference):
        below, current = costs[-1], [0] * (width + 1)
        current[width] = below[width] + 1
        for column in range(width - 1, -1, -1):
            substituted = below[column + 1] + (expected != hypothesis[column])
            current[column] = min(substituted, below[column] + 1, current[column + 1] + 1)
        costs.append(current)
    costs.reverse()
    return costs


@dataclass(frozen=True, slots=True)
class Line:
    """A completed segment; times in ms from the first sample of the stream."""

    start_ms: int
    end_ms: int
    text: str
    words: tuple[str, ...]
    """Of `text`, normalised."""

    @classmethod
    def parse(cls, segment: Mapping[str, Any]) -> "Line":
        """Return the line of a segment of a message."""
        start_ms, end_ms = (round(float(segment[key]) * 1000) for key in ("start", "end"))
        text = str(segment["text"]).strip()
        return cls(start_ms, end_ms, text, words_in(text))


@dataclass(frozen=True, slots=True)
class Event:
    """The text that is displayed from `at` on: seconds since the first sample, client's clock."""

    at: float
    committed: tuple[Line, ...]
    """All segments completed so far, also those that have left the window."""
    tentative: tuple[str, ...]
    """Words that may still change, normalised."""
    promised: int = 0
    """Number of leading tentative words that the server calls stable: a key of this server."""


class SegmentHistory:
    """Collects the messages of one connection as events."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.revisions = 0
        """Number of completed segments that a later message changed or left out; must stay 0."""
        self.messages = 0
        self._committed: list[Line] = []

    def receive(self, at: float, segments: Sequence[Mapping[str, Any]]) -> None:
        """Add the segments of a message; an event is added only if the text has changed."""
        self.messages += 1
        last = len(segments) - 1
        # Servers before 0.6 do not send `completed`; all their segments but the last are.
        is_completed = [
            bool(segment.get("completed", place < last)) for place, segment in enumerate(segments)
        ]
        pairs = list(zip(segments, is_completed, strict=True))
        window = [Line.parse(segment) for segment, completed in pairs if completed]
        if window:
            # The window replaces all lines from its first on; a line that differs is a revision.
            first = bisect_left(self._committed, window[0].start_ms, key=lambda line: line.start_ms)
            known = self._committed[first:]
            unchanged = sum(old == new for old, new in zip(known, window, strict=False))
            self.revisions += len(known) - unchanged
            self._committed[first:] = window
        still_open = [segment for segment, completed in pairs if not completed]
        text, stable = (
            words_in(" ".join(str(segment.get(key, "")) for segment in still_open))
            for key in ("text", "stable")
        )
        event = Event(at, tuple(self._committed), text, promised=len(stable))
        if not self.events or replace(self.events[-1], at=at) != event:
            self.events.append(event)


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A word of the reference with its end, in s from the first sample."""

    text: str
    end: float
    ends_speech: bool = False
    """True if a silence follows that every endpoint detector must notice."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The words and silences of a stream. Times in s from its first sample."""

    words: tuple[SpokenWord, ...]
    silences: tuple[tuple[float, float], ...]
    """Intervals of at least 2 s without speech."""


@dataclass(frozen=True, slots=True)
class WordDelay:
    """The delays of one recognised word, in s from its end."""

    end: float
    """In s from the first sample."""
    first_display: float
    """Until it was displayed for the first time."""
    stable_display: float
    """Until it was displayed and never disappeared again."""
    commit: float
    """Until it was part of a completed segment."""
    ends_speech: bool
    promise: float | None = None
    """Until the server called it stable or completed it; None for a server that does not send
    which words are stable."""


@dataclass(frozen=True, slots=True)
class StreamScore:
    """The score of one stream."""

    delays: tuple[WordDelay, ...]
    """Of the correct words of the completed text, in order."""
    reference_words: int
    edits: int
    """Word errors of the completed text."""
    invented_words: int
    """Words that were completed in silences of at least 2 s."""


def score_stream(reference: Reference, events: Sequence[Event]) -> StreamScore:
    """Align the last completed text with the reference, and measure the delays of correct words."""
    expected = [
        (SpokenWord(word, spoken.end, spoken.ends_speech))
        for spoken in reference.words
        for word in words_in(spoken.text)
    ]
    lines = events[-1].committed if events else ()
    alignment = align([word.text for word in expected], _all_words(lines))
    displays = list(_find_displays(expected, events, dict(alignment.matches)))
    promises = any(event.promised for event in events)
    delays = []
    for word, place in alignment.matches:
        end = expected[word].end
        delay = WordDelay(
            end=end,
            first_display=next(d.at for d in displays if word in d.shown) - end,
            stable_display=_find_stable(displays, word) - end,
            commit=next(d.at for d in displays if place < d.completed) - end,
            ends_speech=expected[word].ends_speech,
            promise=next(d.at for d in displays if word in d.promised) - end if promises else None,
        )
        delays.append(delay)
    # An inserted word is invented if the middle of its segment is in a silence.
    middles = [(line.start_ms + line.end_ms) / 2000 for line in lines for _ in line.words]
    invented = sum(
        any(start <= middles[word] <= end for start, end in reference.silences)
        for word in alignment.inserted
    )
    return StreamScore(tuple(delays), len(expected), alignment.edits, invented)


@dataclass(frozen=True, slots=True)
class _Display:
    """The words of the reference that one event displays, as indices."""

    at: float
    shown: frozenset[int]
    promised: frozenset[int]
    """Those of `shown` that the server calls stable or has completed."""
    completed: int
    """Number of words of the final text that are completed."""


def _find_displays(
    expected: Sequence[SpokenWord], events: Sequence[Event], matches: dict[int, int]
) -> Iterator[_Display]:
    """Yield the words that each event displays.

    Completed words are those of the final text. Tentative words are aligned with the words that
    follow the last completed one and have begun to be spoken.
    """
    final = _all_words(events[-1].committed) if events else []
    ends = [word.end for word in expected]
    for event in events:
        # A word that a later event revises is not completed yet: only the words count that agree
        # with the final text from its beginning on.
        pairs = zip(_all_words(event.committed), final, strict=False)
        agreed = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        completed = {word for word, place in matches.items() if place < agreed}
        first = max(completed, default=-1) + 1
        begun = min(len(expected), bisect_right(ends, event.at) + 1)
        open_words = [word.text for word in expected[first:begun]]
        guessed = align(open_words, event.tentative).matches
        yield _Display(
            event.at,
            shown=frozenset(completed | {first + word for word, _ in guessed}),
            promised=frozenset(
                completed | {first + word for word, place in guessed if place < event.promised}
            ),
            completed=agreed,
        )


def _find_stable(displays: Sequence[_Display], word: int) -> float:
    """Return the start of the last uninterrupted run of events that display the word."""
    run = list(takewhile(lambda display: word in display.shown, reversed(displays)))
    return run[-1].at


def _all_words(lines: Sequence[Line]) -> list[str]:
    return [word for line in lines for word in line.words]


@dataclass(frozen=True, slots=True)
class Spread:
    """A distribution of delays in s."""

    count: int
    mean: float
    p50: float
    p90: float
    p95: float
    p99: float


def summarise_delays(values: Sequence[float]) -> Spread | None:
    """Summarise a distribution, with interpolated percentiles; None without values."""
    if not values:
        return None
    p50, p90, p95, p99 = (float(cut) for cut in np.percentile(values, (50, 90, 95, 99)))
    return Spread(len(values), float(np.mean(values)), p50, p90, p95, p99)


@dataclass(frozen=True, slots=True)
class Quality:
    """Accuracy and delays of the text of all streams."""

    wer: float | None
    """Word error rate of the completed text, as a share; None without words."""
    match_rate: float | None
    """Share of the words that were recognised exactly; the delays are theirs."""
    first_display: Spread | None
    stable_display: Spread | None
    promise: Spread | None
    """Until the server called a word stable; None if it called none so."""
    commit: Spread | None
    final: Spread | None
    """Commit delay of the words that end speech: the time to final."""
    slope: float | None
    """Growth of the commit delay in s per s of stream, by least squares."""
    revisions: int
    """Number of completed segments that changed or disappeared; must be 0."""
    invented_words: int
    """Words completed in silences of at least 2 s."""


def pool_quality(scores: Sequence[StreamScore], revisions: int) -> Quality:
    """Pool the words of all streams."""
    delays = [delay for score in scores for delay in score.delays]
    words = sum(score.reference_words for score in scores)
    return Quality(
        wer=sum(score.edits for score in scores) / words if words else None,
        match_rate=len(delays) / words if words else None,
        first_display=summarise_delays([delay.first_display for delay in delays]),
        stable_display=summarise_delays([delay.stable_display for delay in delays]),
        promise=summarise_delays([delay.promise for delay in delays if delay.promise is not None]),
        commit=summarise_delays([delay.commit for delay in delays]),
        final=summarise_delays([delay.commit for delay in delays if delay.ends_speech]),
        slope=_fit_slope(delays),
        revisions=revisions,
        invented_words=sum(score.invented_words for score in scores),
    )


def _fit_slope(delays: Iterable[WordDelay]) -> float | None:
    """Fit commit delay over the time of the word; None for fewer than two times."""
    points = [(delay.end, delay.commit) for delay in delays]
    if len({end for end, _ in points}) < 2:
        return None
    ends, commits = np.array(points).T
    ends = ends - ends.mean()
    return float(ends @ commits / (ends @ ends))

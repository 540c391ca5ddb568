"""How late each word of one stream was shown, stayed, and was completed.

The definitions are those of simultaneous translation's word-level delays on known word times:
sample n of the stream is spoken at n / 16,000 s, and every delay counts from the end of a word.
"""

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

import numpy as np


def words_in(text: str) -> tuple[str, ...]:
    """The words of a text, folded to one case, with letters and digits alone.

    A hyphen parts two words; what stands inside one ("o'clock") is left out.
    """
    apart = unicodedata.normalize("NFKC", text).replace("-", " ").casefold().split()
    bare = ("".join(filter(str.isalnum, unicodedata.normalize("NFKC", word))) for word in apart)
    return tuple(filter(None, bare))


@dataclass(frozen=True, slots=True)
class Alignment:
    """How a hypothesis lies on its reference.

    `matches` are pairs (place in the reference, place in the hypothesis) of equal words, both
    rising; `inserted` are places in the hypothesis that answer to no word of the reference;
    `edits` counts substitutions, deletions and insertions, as few as possible.
    """

    matches: tuple[tuple[int, int], ...]
    inserted: tuple[int, ...]
    edits: int


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> Alignment:
    """Lay a hypothesis on a reference with the fewest edits (Levenshtein 1966).

    Of equally good alignments the one that pairs words earliest is taken, so that a text which
    breaks off lies at the beginning of its reference.
    """
    costs = _costs(reference, hypothesis)
    matches: list[tuple[int, int]] = []
    inserted: list[int] = []
    row = column = 0
    while row < len(reference) or column < len(hypothesis):
        cost = costs[row][column]
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


def _costs(reference: Sequence[str], hypothesis: Sequence[str]) -> list[list[int]]:
    """Edits between what follows each place of the reference (row) and of the hypothesis."""
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


def edits(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Substitutions, deletions and insertions, as few as possible: `align` without the alignment.

    Holds one row of the table, so that hours of text can be compared: 26,000 words against as many
    take some seconds.
    """
    numbers = {word: number for number, word in enumerate({*reference, *hypothesis})}
    heard = np.array([numbers[word] for word in hypothesis], np.int64)
    places = np.arange(len(heard) + 1)
    row = (
        places.copy()
    )  # edits from the first words of the reference to each start of the hypothesis
    for said, word in enumerate(reference, 1):
        deleted = row + 1
        substituted = row[:-1] + (heard != numbers[word])
        row = np.concatenate(([said], np.minimum(deleted[1:], substituted)))
        row = np.minimum.accumulate(row - places) + places  # insertions, from left to right
    return int(row[-1])


@dataclass(frozen=True, slots=True)
class Line:
    """A completed segment; times in ms from the first sample of the stream."""

    start_ms: int
    end_ms: int
    text: str
    words: tuple[str, ...]
    """Of `text`, normalised."""


@dataclass(frozen=True, slots=True)
class Event:
    """What is shown from `at` on: seconds since the first sample, on the client's clock."""

    at: float
    committed: tuple[Line, ...]
    """All segments completed so far, also those that have left the window."""
    tentative: tuple[str, ...]
    """Words that may still change, normalised."""
    promised: int = 0
    """How many of them, from the first, the server calls stable: a key of ours that few send."""


class SegmentHistory:
    """Gathers the messages of one connection into events."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.revisions = 0
        """Completed segments that a later message changed or left out; must stay 0."""
        self.messages = 0
        self._committed: list[Line] = []

    def receive(self, at: float, segments: Sequence[Mapping[str, Any]]) -> None:
        """Take the segments of a message; an event arises only where something has changed."""
        self.messages += 1
        last = len(segments) - 1
        is_completed = [
            bool(segment.get("completed", place < last)) for place, segment in enumerate(segments)
        ]
        pairs = list(zip(segments, is_completed, strict=True))
        self._commit([_line(segment) for segment, completed in pairs if completed])
        still_open = [segment for segment, completed in pairs if not completed]
        text, stable = (
            words_in(" ".join(str(segment.get(key, "")) for segment in still_open))
            for key in ("text", "stable")
        )
        event = Event(at, tuple(self._committed), text, promised=len(stable))
        if not self.events or self._is_news(event):
            self.events.append(event)

    def _commit(self, window: list[Line]) -> None:
        """Lay the window over what is known from its first segment on, and count what differs."""
        if not window:
            return
        first = bisect_left(self._committed, window[0].start_ms, key=lambda line: line.start_ms)
        known = self._committed[first:]
        kept = sum(old == new for old, new in zip(known, window, strict=False))
        self.revisions += len(known) - kept
        self._committed[first:] = window

    def _is_news(self, event: Event) -> bool:
        return replace(self.events[-1], at=event.at) != event


def _line(segment: Mapping[str, Any]) -> Line:
    text = str(segment["text"]).strip()
    return Line(_ms(segment["start"]), _ms(segment["end"]), text, words_in(text))


def _ms(seconds: str | float) -> int:
    return round(float(seconds) * 1000)


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A word of the reference, and when it has been said: s from the first sample."""

    text: str
    end: float
    ends_speech: bool = False
    """Whether a silence follows that any endpoint must notice."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What is said in a stream. Times in s from its first sample."""

    words: tuple[SpokenWord, ...]
    silences: tuple[tuple[float, float], ...]
    """Stretches of at least 2 s in which nobody speaks."""


@dataclass(frozen=True, slots=True)
class WordDelay:
    """The delays of one word that was recognised, in s; `end` is when it had been said."""

    end: float
    first_display: float
    """Until it was shown for the first time."""
    stable_display: float
    """Until it was shown and never went away again."""
    commit: float
    """Until it stood in a completed segment."""
    ends_speech: bool
    promise: float | None = None
    """Until it stood in what the server calls stable, or was completed; None where it never says
    what is stable."""


@dataclass(frozen=True, slots=True)
class StreamScore:
    """One stream against its reference."""

    delays: tuple[WordDelay, ...]
    """Of the words that the completed text has right, in order."""
    reference_words: int
    edits: int
    """Word errors of the completed text."""
    invented_words: int
    """Words that were completed where nobody spoke for 2 s."""


def score_stream(reference: Reference, events: Sequence[Event]) -> StreamScore:
    """Align the last completed text with the reference, and find when each right word came."""
    said = [
        (SpokenWord(word, spoken.end, spoken.ends_speech))
        for spoken in reference.words
        for word in words_in(spoken.text)
    ]
    lines = events[-1].committed if events else ()
    alignment = align([word.text for word in said], _words(lines))
    displays = list(_displays(said, events, dict(alignment.matches)))
    promises = any(event.promised for event in events)
    delays = tuple(
        WordDelay(
            end=said[word].end,
            first_display=_first(displays, word) - said[word].end,
            stable_display=_stable(displays, word) - said[word].end,
            commit=_committed_at(displays, place) - said[word].end,
            ends_speech=said[word].ends_speech,
            promise=_promised_at(displays, word) - said[word].end if promises else None,
        )
        for word, place in alignment.matches
    )
    invented = _invented(lines, alignment.inserted, reference.silences)
    return StreamScore(delays, len(said), alignment.edits, invented)


@dataclass(frozen=True, slots=True)
class _Display:
    """What of the reference one event shows, and how much of the final text it has completed."""

    at: float
    shown: frozenset[int]
    promised: frozenset[int]
    """Those of them that the server calls stable, or has completed."""
    completed: int


def _displays(
    said: Sequence[SpokenWord], events: Sequence[Event], matches: dict[int, int]
) -> Iterator[_Display]:
    """Find the words that each event shows.

    Completed words are those of the final text; tentative ones are aligned with what has begun to
    be said after the last of them.
    """
    final = _words(events[-1].committed) if events else []
    ends = [word.end for word in said]
    for event in events:
        words = _words(event.committed)
        agreed = _common_prefix(words, final)
        completed = {word for word, place in matches.items() if place < agreed}
        first = max(completed, default=-1) + 1
        begun = min(len(said), bisect_right(ends, event.at) + 1)
        open_words = [word.text for word in said[first:begun]]
        guessed = align(open_words, event.tentative).matches
        yield _Display(
            event.at,
            shown=frozenset(completed | {first + word for word, _ in guessed}),
            promised=frozenset(
                completed | {first + word for word, place in guessed if place < event.promised}
            ),
            completed=agreed,
        )


def _common_prefix(words: Sequence[str], others: Sequence[str]) -> int:
    """How many words two texts have in common before they part."""
    pairs = zip(words, others, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _first(displays: Sequence[_Display], word: int) -> float:
    return next(display.at for display in displays if word in display.shown)


def _stable(displays: Sequence[_Display], word: int) -> float:
    """When the last unbroken run of events that show the word began."""
    run = list(takewhile(lambda display: word in display.shown, reversed(displays)))
    return run[-1].at


def _promised_at(displays: Sequence[_Display], word: int) -> float:
    return next(display.at for display in displays if word in display.promised)


def _committed_at(displays: Sequence[_Display], place: int) -> float:
    return next(display.at for display in displays if place < display.completed)


def _invented(
    lines: Sequence[Line], inserted: Sequence[int], silences: Sequence[tuple[float, float]]
) -> int:
    """Count the words without a counterpart whose segment has its middle in a silence."""
    middles = [(line.start_ms + line.end_ms) / 2000 for line in lines for _ in line.words]
    return sum(any(start <= middles[word] <= end for start, end in silences) for word in inserted)


def _words(lines: Sequence[Line]) -> list[str]:
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


def spread(values: Sequence[float]) -> Spread | None:
    """Describe a distribution, percentiles interpolated; None where there is nothing."""
    if not values:
        return None
    p50, p90, p95, p99 = (float(cut) for cut in np.percentile(values, (50, 90, 95, 99)))
    return Spread(len(values), float(np.mean(values)), p50, p90, p95, p99)


@dataclass(frozen=True, slots=True)
class Quality:
    """How right and how late the text of all streams was."""

    wer: float | None
    """Word error rate of the completed text, as a share; None where nothing was said."""
    match_rate: float | None
    """Share of the words that were recognised exactly, over which the delays are taken."""
    first_display: Spread | None
    stable_display: Spread | None
    promise: Spread | None
    """Until a word stood in the text that the server calls stable; None where it calls none so."""
    commit: Spread | None
    final: Spread | None
    """Commit delay of the words that end speech: the time to final."""
    slope: float | None
    """Growth of the commit delay in s per s of stream, by least squares."""
    revisions: int
    """Completed segments that changed or vanished; must be 0."""
    invented_words: int
    """Words completed in silences of 2 s and more."""


def quality(scores: Sequence[StreamScore], revisions: int) -> Quality:
    """Pool the words of all streams."""
    delays = [delay for score in scores for delay in score.delays]
    words = sum(score.reference_words for score in scores)
    return Quality(
        wer=sum(score.edits for score in scores) / words if words else None,
        match_rate=len(delays) / words if words else None,
        first_display=spread([delay.first_display for delay in delays]),
        stable_display=spread([delay.stable_display for delay in delays]),
        promise=spread([delay.promise for delay in delays if delay.promise is not None]),
        commit=spread([delay.commit for delay in delays]),
        final=spread([delay.commit for delay in delays if delay.ends_speech]),
        slope=_slope(delays),
        revisions=revisions,
        invented_words=sum(score.invented_words for score in scores),
    )


def _slope(delays: Iterable[WordDelay]) -> float | None:
    """Fit commit delay over the time of the word; None where two times are not to be had."""
    points = [(delay.end, delay.commit) for delay in delays]
    if len({end for end, _ in points}) < 2:
        return None
    ends, commits = np.array(points).T
    ends = ends - ends.mean()
    return float(ends @ commits / (ends @ ends))

"""How late each word of one stream was shown, stayed, and was completed.

The definitions are those of simultaneous translation's word-level delays on known word times:
sample n of the stream is spoken at n / 16,000 s, and every delay counts from the end of a word.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from whisperlive_hybrid.bench.transcript import Event, Line
from whisperlive_hybrid.bench.words import align, words_in


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

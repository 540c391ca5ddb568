"""The times of the words of a sentence, from espeak-ng's marks."""

from collections.abc import Sequence
from dataclasses import dataclass

from demo_speech.espeak import WordMark


@dataclass(frozen=True, slots=True)
class Span:
    """An interval in s."""

    start: float
    end: float

    def cut(self, start: float, duration: float) -> "Span":
        """Return the span on the clock of an excerpt from `start` that lasts `duration`."""
        return Span(max(0.0, self.start - start), min(duration, self.end - start))


def spans_from_marks(text: str, marks: Sequence[WordMark], end: float) -> list[Span]:
    """Return a span for each word of `text`, from espeak-ng's marks up to `end`.

    espeak-ng speaks some words as one ("in the") and marks only the first of them; these divide
    the interval up to the next mark by their number of letters.
    """
    words = text.split(" ")
    starts = _find_starts(words, marks)
    known = sorted(starts)
    spans: list[Span] = []
    for first, after in zip(known, [*known[1:], len(words)], strict=True):
        interval = Span(starts[first], starts.get(after, end))
        spans += share_by_letters(interval, words[first:after])
    return spans


def _find_starts(words: Sequence[str], marks: Sequence[WordMark]) -> dict[int, float]:
    """Return the first mark inside each word that has one; the first word always has a start."""
    starts: dict[int, float] = {}
    begin = 0
    for index, word in enumerate(words):
        inside = range(begin, begin + len(word))
        times = [mark.start for mark in marks if mark.position - 1 in inside]
        if times:
            starts[index] = times[0]
        begin = inside.stop + 1
    starts.setdefault(0, 0.0)
    return starts


def share_by_letters(interval: Span, words: Sequence[str]) -> list[Span]:
    """Divide an interval among words in proportion to their letters."""
    letters = sum(map(len, words))
    spans = []
    start = interval.start
    for word in words:
        end = start + (interval.end - interval.start) * len(word) / letters
        spans.append(Span(start, end))
        start = end
    return spans

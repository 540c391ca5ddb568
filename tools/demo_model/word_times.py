"""When each word of a sentence is spoken, from what the synthesisers tell about their sound."""

from collections.abc import Sequence
from dataclasses import dataclass

from demo_model.espeak import WordMark
from demo_model.flite import Phone

GUESS_SLACK = 0.15  # s added on both sides of an interval that was guessed from word lengths


@dataclass(frozen=True, slots=True)
class Span:
    """An interval in s."""

    start: float
    end: float

    def cut_to(self, start: float, duration: float) -> "Span":
        """Return the span as heard in a cut that begins at `start` and lasts `duration`."""
        return Span(max(0.0, self.start - start), min(duration, self.end - start))


def spans_from_marks(text: str, marks: Sequence[WordMark], end: float) -> list[Span]:
    """Return a span for each word of `text`, from espeak-ng's marks up to `end`.

    espeak-ng speaks some words as one ("in the") and marks only the first of them; those share
    the interval up to the next mark by their length in letters.
    """
    words = text.split(" ")
    starts = _marked_starts(words, marks)
    known = sorted(starts)
    spans: list[Span] = []
    for first, after in zip(known, [*known[1:], len(words)], strict=True):
        interval = Span(starts[first], starts.get(after, end))
        spans += _share(interval, words[first:after])
    return spans


def _marked_starts(words: Sequence[str], marks: Sequence[WordMark]) -> dict[int, float]:
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


def _share(interval: Span, words: Sequence[str]) -> list[Span]:
    """Divide an interval among words in proportion to their letters."""
    letters = sum(map(len, words))
    spans = []
    start = interval.start
    for word in words:
        end = start + (interval.end - interval.start) * len(word) / letters
        spans.append(Span(start, end))
        start = end
    return spans


def spans_from_phones(phones_in_word: Sequence[int], sounds: Sequence[Phone]) -> list[Span] | None:
    """Return a span for each word from its share of the sentence's phones, pauses left out.

    None where the sentence has another number of phones than its words have alone: a word was
    spoken differently in company, and nothing says which.
    """
    if sum(phones_in_word) != len(sounds):
        return None
    spans = []
    first = 0
    for count in phones_in_word:
        spans.append(Span(sounds[first].start, sounds[first + count - 1].end))
        first += count
    return spans


def guessed_spans(words: Sequence[str], start: float, end: float) -> list[Span]:
    """Return generous spans for words between `start` and `end`, by their length in letters."""
    return [
        Span(span.start - GUESS_SLACK, span.end + GUESS_SLACK)
        for span in _share(Span(start, end), words)
    ]

"""The times of the words of a sentence spoken by flite."""

from collections.abc import Sequence

from demo_speech.word_times import Span, share_by_letters

from demo_model.flite import Phone

GUESS_SLACK = 0.15  # s added on both sides of an interval that was guessed from word lengths


def spans_from_phones(phones_in_word: Sequence[int], sounds: Sequence[Phone]) -> list[Span] | None:
    """Return a span for each word from its share of the sentence's phones, pauses left out.

    None where the sentence has another number of phones than its words have alone: flite spoke a
    word differently in its context, and does not show which one.
    """
    if sum(phones_in_word) != len(sounds):
        return None
    spans = []
    first = 0
    for count in phones_in_word:
        spans.append(Span(sounds[first].start, sounds[first + count - 1].end))
        first += count
    return spans


def guess_spans(words: Sequence[str], start: float, end: float) -> list[Span]:
    """Return generous spans for words between `start` and `end`, by their length in letters."""
    return [
        Span(span.start - GUESS_SLACK, span.end + GUESS_SLACK)
        for span in share_by_letters(Span(start, end), words)
    ]

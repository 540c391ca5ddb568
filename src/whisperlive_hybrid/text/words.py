"""What alignment says of tokens, dealt out to segments: times of words, probabilities of tokens."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from whisperlive_hybrid.types import ScoredToken, Segment, TokenTime, Vocabulary, Word

_PREPENDED = "\"'“¿([{-"
_APPENDED = "\"'.。,，!！?？:：”)]}、"  # noqa: RUF001 (full-width marks are meant)
"""Punctuation that belongs to the word after or before it; the sets of openai/whisper."""


def with_words(
    segments: Sequence[Segment],
    times: Sequence[TokenTime],
    vocabulary: Vocabulary,
    language: str,
) -> tuple[Segment, ...]:
    """Give each segment its words.

    `times` belong to the text tokens of all the segments in order, on the same clock. A segment
    with words starts and ends with them: they are measured, its time marks were guessed. Only where
    the first word of all begins is not measured, so its time mark is believed there.
    """
    timed: list[Segment] = []
    for segment, tokens, own in _dealt_out(segments, times, vocabulary):
        words = _words(vocabulary.split_words(tokens, language), own)
        if words and not any(each.words for each in timed):
            words = _begun(words, segment.start)
        start, end = (words[0].start, words[-1].end) if words else (segment.start, segment.end)
        timed.append(replace(segment, start=start, end=end, words=words))
    return tuple(timed)


def with_probabilities(
    segments: Sequence[Segment], times: Sequence[TokenTime], vocabulary: Vocabulary
) -> tuple[Segment, ...]:
    """Give each segment its tokens with their probabilities, and change nothing else.

    `times` belong to the text tokens of all the segments in order.
    """
    return tuple(
        replace(
            segment,
            scored=tuple(
                ScoredToken(vocabulary.spelling(token), time.probability)
                for token, time in zip(tokens, own, strict=True)
            ),
        )
        for segment, tokens, own in _dealt_out(segments, times, vocabulary)
    )


def text_tokens(tokens: Sequence[int], vocabulary: Vocabulary) -> tuple[int, ...]:
    """The tokens that are text, without time marks."""
    return tuple(token for token in tokens if token < vocabulary.end_of_text)


def _dealt_out(
    segments: Sequence[Segment], times: Sequence[TokenTime], vocabulary: Vocabulary
) -> Iterator[tuple[Segment, tuple[int, ...], Sequence[TokenTime]]]:
    """Each segment with its text tokens and what was measured of them."""
    first = 0
    for segment in segments:
        tokens = text_tokens(segment.tokens, vocabulary)
        yield segment, tokens, times[first : first + len(tokens)]
        first += len(tokens)


def _words(pieces: Sequence[tuple[str, int]], times: Sequence[TokenTime]) -> tuple[Word, ...]:
    words: list[Word] = []
    first = 0
    for text, length in pieces:
        own = times[first : first + length]
        first += length
        probability = sum(time.probability for time in own) / length
        words.append(Word(text, own[0].start, own[-1].end, probability))
    return tuple(_with_punctuation(words))


def _begun(words: tuple[Word, ...], mark: float) -> tuple[Word, ...]:
    """The words of a window's first segment, the first of them begun at the time mark.

    Alignment begins it with the window, hence with the silence before the speech: its way through
    the attention begins in the corner. In our clips that was 0.32 s too early on average, and the
    mark 0.02 s off (measured with the demo model). A mark that lies outside the word is wrong.
    """
    first = words[0]
    if not first.start < mark < first.end:
        return words
    return replace(first, start=mark), *words[1:]


def _with_punctuation(words: Sequence[Word]) -> list[Word]:
    """Merge lone punctuation into its neighbour, whose times stay those of the spoken word."""
    merged: list[Word] = []
    for word in words:
        opens = word.text.startswith(" ") and _is_only(word.text, _PREPENDED)
        if merged and _is_only(word.text, _APPENDED) and not opens:
            merged[-1] = replace(merged[-1], text=merged[-1].text + word.text)
        elif merged and _is_only(merged[-1].text, _PREPENDED) and merged[-1].text.startswith(" "):
            merged[-1] = replace(word, text=merged[-1].text + word.text.lstrip(" "))
        else:
            merged.append(word)
    return merged


def _is_only(text: str, marks: str) -> bool:
    return bool(text.strip()) and all(character in marks for character in text.strip())

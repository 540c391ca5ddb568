"""Word times and token probabilities of segments, from the alignment of their tokens."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from math import inf
from statistics import fmean, median
from typing import Final

from whisperlive_hybrid.types import ScoredToken, Segment, TokenTime, Vocabulary, Word

_PREPENDED = "\"'“¿([{-"
_APPENDED = "\"'.。,，!！?？:：”)]}、"  # noqa: RUF001 (full-width marks are meant)
"""Punctuation that belongs to the word after or before it; the sets of openai/whisper."""

LONGEST_MEDIAN_S: Final = 0.7
"""Limit of the median length of a window's words, as in openai/whisper. It applies to windows of so
few words that the median is a word with a silence in it."""

DECAY_S: Final = 0.2
"""Most time of a punctuation mark that is added to the word before it. In 23 sentences of read
speech, alignment ended the last word 0.22 s (median) before the voice detector did."""

LONGEST_WORD_S: Final = 2.0
"""Longest word; in nine recordings no word without a pause in it was longer."""

PAUSE_S: Final = 0.3
"""Shortest silence between two stretches of speech that no word spans."""

REACH_S: Final = 0.3
"""Largest distance between the measured end of a word and the end of its speech at a pause."""

_LETTERS_OF_A_DIGIT: Final = 4
"""The mean number of letters of "one" to "nine"; digits are shorter than their words."""


def add_words(
    segments: Sequence[Segment],
    times: Sequence[TokenTime],
    vocabulary: Vocabulary,
    language: str,
    speech: Sequence[tuple[float, float]] = (),
) -> tuple[Segment, ...]:
    """Add words to segments; a segment with words then starts and ends with them.

    `times` are those of the text tokens of all segments in order, on the same clock. `speech` are
    stretches of speech for `fit_to_pauses`.
    """
    measured = [
        (segment, _merge_tokens(vocabulary.split_words(tokens, language), own))
        for segment, tokens, own in _match_times(segments, times, vocabulary)
    ]
    # Alignment begins the first word with the window, hence with the silence before the speech: its
    # path through the attention begins in the corner. In the clips of the tests that was 0.32 s too
    # early on average, and the segment's time mark 0.02 s off (measured with the demo model). So
    # the mark replaces it, unless it lies outside of the word and must be wrong.
    first = next((i for i, (_, words) in enumerate(measured) if words), None)
    if first is not None:
        segment, words = measured[first]
        if words[0].start < segment.start < words[0].end:
            measured[first] = segment, [replace(words[0], start=segment.start), *words[1:]]
    every = _limit_lengths([word for _, words in measured for word in words])
    fitted = iter(fit_to_pauses(every, speech))
    timed: list[Segment] = []
    for segment, words in measured:
        own = tuple(next(fitted) for _ in words)
        # Measured times replace the time marks, which the model guesses.
        start, end = (own[0].start, own[-1].end) if own else (segment.start, segment.end)
        timed.append(replace(segment, start=start, end=end, words=own))
    return tuple(timed)


def trim_long_words(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """Return the segments of a recording with words of at most a plausible length.

    If silence was cut out of a window, a word that begins before the cut spans the silence on the
    recording clock. Its end is right, so its start is moved; a segment begins with its first word.
    """
    words = [word for segment in segments for word in segment.words or ()]
    bounds = _bounds(words)
    if bounds is None or all(word.end - word.start <= LONGEST_WORD_S for word in words):
        return tuple(segments)
    bounded = iter(
        replace(word, start=word.end - bound) if word.end - word.start > LONGEST_WORD_S else word
        for word, bound in zip(words, bounds[1], strict=True)
    )
    result: list[Segment] = []
    for segment in segments:
        if segment.words:
            own = tuple(next(bounded) for _ in segment.words)
            result.append(replace(segment, start=own[0].start, words=own))
        else:
            result.append(segment)
    return tuple(result)


def add_probabilities(
    segments: Sequence[Segment], times: Sequence[TokenTime], vocabulary: Vocabulary
) -> tuple[Segment, ...]:
    """Add the probabilities of their tokens to segments.

    `times` are those of the text tokens of all segments in order.
    """
    return tuple(
        replace(
            segment,
            scored=tuple(
                ScoredToken(vocabulary.spelling(token), time.probability)
                for token, time in zip(tokens, own, strict=True)
            ),
        )
        for segment, tokens, own in _match_times(segments, times, vocabulary)
    )


def text_tokens(tokens: Sequence[int], vocabulary: Vocabulary) -> tuple[int, ...]:
    """Return the text tokens among `tokens`, without time marks."""
    return tuple(token for token in tokens if token < vocabulary.end_of_text)


def _match_times(
    segments: Sequence[Segment], times: Sequence[TokenTime], vocabulary: Vocabulary
) -> Iterator[tuple[Segment, tuple[int, ...], Sequence[TokenTime]]]:
    """Yield each segment with its text tokens and their times."""
    first = 0
    for segment in segments:
        tokens = text_tokens(segment.tokens, vocabulary)
        yield segment, tokens, times[first : first + len(tokens)]
        first += len(tokens)


def _merge_tokens(pieces: Sequence[tuple[str, int]], times: Sequence[TokenTime]) -> list[Word]:
    """Return words, given their texts and numbers of tokens, and the times of all tokens."""
    words: list[Word] = []
    first = 0
    for text, length in pieces:
        own = times[first : first + length]
        first += length
        probability = sum(time.probability for time in own) / length
        words.append(Word(text, own[0].start, own[-1].end, probability))
    return _merge_punctuation(words)


def _limit_lengths(words: Sequence[Word]) -> list[Word]:
    """Return the words of a window with plausible lengths; order, texts and most ends are kept."""
    bounds = _bounds(words)
    if bounds is None:
        return list(words)
    usual, longest = bounds
    # Alignment adds the silence between two words to the second one: of 76 words of more than 1 s
    # in nine recordings, 67 begin with silence. So a word that is too long keeps its end.
    bounded = [
        replace(word, start=max(word.start, word.end - bound))
        for word, bound in zip(words, longest, strict=True)
    ]
    return _spread_zero_lengths(bounded, usual)


def fit_to_pauses(words: Sequence[Word], speech: Sequence[tuple[float, float]]) -> list[Word]:
    """Return `words` with those next to a pause ending, or beginning, where the speech does.

    `speech` are the stretches of speech by the voice detector, (start, end) on the clock of the
    words; empty if there was no detection. The detector's ends are better than those of alignment:
    of 63 last words of read speech, alignment's end was 0.09 s off (median; 0.20 s at the 90th
    percentile) by the energy of the sound, and the detector's 0.02 s (0.07 s).
    """
    fitted = list(words)
    for (_, begin), (end, _) in pairwise([*speech, (inf, inf)]):
        if end - begin < PAUSE_S:
            continue
        for index, word in enumerate(fitted):
            next_start = fitted[index + 1].start if index + 1 < len(fitted) else inf
            fitted[index] = _fit_to_pause(word, (begin, end), next_start)
    return fitted


def _fit_to_pause(word: Word, pause: tuple[float, float], next_start: float) -> Word:
    begin, end = pause
    if word.start < begin and end < word.end:
        # It spans the whole pause, so it was said on the side where it has more time.
        is_after = word.end - end > begin - word.start
        return replace(word, start=end) if is_after else replace(word, end=begin)
    if begin <= word.start < end < word.end:
        return replace(word, start=end)
    is_last = word.end < begin <= next_start and begin - word.end <= REACH_S
    if is_last or word.start < begin < word.end:
        return replace(word, end=begin)
    return word


def _bounds(words: Sequence[Word]) -> tuple[float, list[float]] | None:
    """Return the usual length of words, and the longest length of each; None if all are 0.

    For a word of the mean number of letters the bound is that of openai/whisper, twice the median
    length; it grows with the number of letters.
    """
    lengths = [word.end - word.start for word in words if word.end > word.start]
    if not lengths:
        return None
    usual = min(median(lengths), LONGEST_MEDIAN_S)
    mean = fmean(map(_letters, words))
    return usual, [usual * (1 + _letters(word) / mean) for word in words]


def _letters(word: Word) -> int:
    """Return the length of a word in spoken letters, at least 1."""
    digits = sum(character.isdigit() for character in word.text)
    letters = sum(character.isalpha() for character in word.text)
    return max(1, letters + _LETTERS_OF_A_DIGIT * digits)


def _spread_zero_lengths(words: Sequence[Word], usual: float) -> list[Word]:
    """Give words of length 0, all at one position, a length of at most `usual` seconds each.

    The time is that of the pause before them, else of the pause after them, else of the longer one
    of their neighbours.
    """
    spread = list(words)
    first = 0
    while first < len(spread):
        time = spread[first].start
        last = first
        while last < len(spread) and spread[last].end <= time:
            last += 1
        if last > first:
            needed = usual * (last - first)
            before = spread[first - 1].end if first else 0.0
            after = spread[last].start if last < len(spread) else time
            if before < time:
                _place_words(spread, first, last, (max(before, time - needed), time))
            elif after > time:
                _place_words(spread, first, last, (time, min(after, time + needed)))
            else:
                _share_with_neighbour(spread, first, last)
        first = last + 1
    return spread


def _share_with_neighbour(words: list[Word], first: int, last: int) -> None:
    """Share the time of the longer neighbour of `words[first:last]` between all of them."""
    before = words[first - 1].end - words[first - 1].start if first else 0.0
    after = words[last].end - words[last].start if last < len(words) else 0.0
    if first and before >= after:
        first -= 1
    elif last < len(words):
        last += 1
    _place_words(words, first, last, (words[first].start, words[last - 1].end))


def _place_words(words: list[Word], first: int, last: int, time: tuple[float, float]) -> None:
    """Place `words[first:last]` between two times, with lengths in proportion to their letters."""
    start, end = time
    run = words[first:last]
    letters = [0, *accumulate(map(_letters, run))]
    edges = [start + (end - start) * before / letters[-1] for before in letters[:-1]] + [end]
    words[first:last] = [
        replace(word, start=own_start, end=own_end)
        for word, (own_start, own_end) in zip(run, pairwise(edges), strict=True)
    ]


def _merge_punctuation(words: Sequence[Word]) -> list[Word]:
    """Merge separate punctuation into its neighbour, which keeps the times of the spoken word.

    Alignment gives the end of a word's sound to the mark after it, so that the word gets up to
    `DECAY_S` of the mark's time.
    """
    merged: list[Word] = []
    longest_end = 0.0  # of the last spoken word
    for word in words:
        opens = word.text.startswith(" ") and _is_only(word.text, _PREPENDED)
        if merged and _is_only(word.text, _APPENDED) and not opens:
            spoken = merged[-1]
            end = max(spoken.end, min(longest_end, word.end))
            merged[-1] = replace(spoken, text=spoken.text + word.text, end=end)
            continue
        if merged and _is_only(merged[-1].text, _PREPENDED) and merged[-1].text.startswith(" "):
            merged[-1] = replace(word, text=merged[-1].text + word.text)
        else:
            merged.append(word)
        longest_end = word.end + DECAY_S
    return merged


def _is_only(text: str, marks: str) -> bool:
    return bool(text.strip()) and all(character in marks for character in text.strip())


CLOSING: Final = "\"'”’)]»"  # noqa: RUF001 (the apostrophe of typesetters is meant)
"""Marks that may follow the one that ends a sentence or a clause."""

_SENTENCE_ENDS: Final = tuple(".?!…。？！؟۔।")  # noqa: RUF001 (full-width marks are meant)


def ends_sentence(text: str) -> bool:
    """Return True if the last mark of `text` ends a sentence."""
    return text.rstrip(CLOSING).endswith(_SENTENCE_ENDS)

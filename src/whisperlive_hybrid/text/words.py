"""What alignment says of tokens, dealt out to segments: times of words, probabilities of tokens."""

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
"""Bound on the median length of a window's words; that of openai/whisper. It decides where a window
has so few words that one with a silence in it is the median."""

DECAY_S: Final = 0.2
"""How much of a punctuation mark's time belongs to the word before it at most: of 23 sentences of
read speech, alignment ended the last word 0.22 s (median) before the voice detector did."""

LONGEST_WORD_S: Final = 2.0
"""In nine recordings no word was longer without a pause in it."""

PAUSE_S: Final = 0.3
"""Silence between two stretches of speech that a word cannot reach into."""

REACH_S: Final = 0.3
"""How much earlier than the speech before a pause its last word may seem to end."""

_LETTERS_OF_A_DIGIT: Final = 4
"""A number is written shorter than it is said: the mean of "one" to "nine"."""


def add_words(
    segments: Sequence[Segment],
    times: Sequence[TokenTime],
    vocabulary: Vocabulary,
    language: str,
    speech: Sequence[tuple[float, float]] = (),
) -> tuple[Segment, ...]:
    """Give each segment its words.

    `times` belong to the text tokens of all the segments in order, on the same clock. A segment
    with words starts and ends with them: they are measured, its time marks were guessed. Only where
    the first word of all begins is not measured, so its time mark is believed there. `speech` are
    the stretches that `fit_to_pauses` fits the words to.
    """
    dealt = [
        (segment, _words(vocabulary.split_words(tokens, language), own))
        for segment, tokens, own in _dealt_out(segments, times, vocabulary)
    ]
    first = next((i for i, (_, words) in enumerate(dealt) if words), None)
    if first is not None:
        segment, words = dealt[first]
        dealt[first] = segment, _begun(words, segment.start)
    every = _plausible([word for _, words in dealt for word in words])
    plausible = iter(fit_to_pauses(every, speech))
    timed: list[Segment] = []
    for segment, measured in dealt:
        words = tuple(next(plausible) for _ in measured)
        start, end = (words[0].start, words[-1].end) if words else (segment.start, segment.end)
        timed.append(replace(segment, start=start, end=end, words=words))
    return tuple(timed)


def trim_long_words(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """The segments of a recording, whose words do not last through what was not in their windows.

    Where silence was cut out of a window, a word may have begun before it: on the recording clock
    it then lasts through it. As before, its end is right; a segment begins with its first word.
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


def _plausible(words: Sequence[Word]) -> list[Word]:
    """The words of a window with lengths that a voice can have; order, text and most ends stay.

    Alignment gives the silence between two words to the second one: of 76 words of more than 1 s
    in nine recordings, 67 begin with silence. So a word that is too long keeps its end. At the
    median number of letters the bound is openai/whisper's, twice the median length; a longer word
    may last longer. Afterwards, words that were all found at one position share out the time
    around them.
    """
    bounds = _bounds(words)
    if bounds is None:
        return list(words)
    usual, longest = bounds
    bounded = [
        replace(word, start=max(word.start, word.end - bound))
        for word, bound in zip(words, longest, strict=True)
    ]
    return _spread(bounded, usual)


def fit_to_pauses(words: Sequence[Word], speech: Sequence[tuple[float, float]]) -> list[Word]:
    """Return `words` with those beside a pause ending, or beginning, where the speech does.

    `speech` are the stretches in which the voice detector found speech, (start, end) on the clock
    of the words; none where nothing is known of it. The detector hears the end of a voice better
    than alignment does: of 63 last words of read speech the end was 0.09 s off (median; 0.20 s at
    the 90th percentile) by the energy of the sound, and 0.02 s (0.07 s) with the detector's end.
    """
    gaps = [(end, start) for (_, end), (start, _) in pairwise([*speech, (inf, inf)])]
    fitted = list(words)
    for begin, end in gaps:
        if end - begin < PAUSE_S:
            continue
        for index, word in enumerate(fitted):
            next_start = fitted[index + 1].start if index + 1 < len(fitted) else inf
            fitted[index] = _beside_pause(word, (begin, end), next_start)
    return fitted


def _beside_pause(word: Word, pause: tuple[float, float], next_start: float) -> Word:
    begin, end = pause
    if word.start < begin and end < word.end:
        # The whole pause lies in it: it was said on the side where it has more time.
        is_behind = word.end - end > begin - word.start
        return replace(word, start=end) if is_behind else replace(word, end=begin)
    if begin <= word.start < end < word.end:
        return replace(word, start=end)
    is_last = word.end < begin <= next_start and begin - word.end <= REACH_S
    if is_last or word.start < begin < word.end:
        return replace(word, end=begin)
    return word


def _bounds(words: Sequence[Word]) -> tuple[float, list[float]] | None:
    """How long words usually last, and each at the most; None where no word lasts."""
    lengths = [word.end - word.start for word in words if word.end > word.start]
    if not lengths:
        return None
    usual = min(median(lengths), LONGEST_MEDIAN_S)
    mean = fmean(map(_letters, words))
    return usual, [usual * (1 + _letters(word) / mean) for word in words]


def _letters(word: Word) -> int:
    """How much there is to say, in letters; at least one."""
    digits = sum(character.isdigit() for character in word.text)
    letters = sum(character.isalpha() for character in word.text)
    return max(1, letters + _LETTERS_OF_A_DIGIT * digits)


def _spread(words: Sequence[Word], usual: float) -> list[Word]:
    """Give the words of length zero some of the time around them, `usual` seconds each at most.

    It is taken from the pause before them, else from the pause behind them, else from the longer
    one of their neighbours.
    """
    spread = list(words)
    first = 0
    while first < len(spread):
        time = spread[first].start
        last = first
        while last < len(spread) and spread[last].end <= time:
            last += 1
        if last > first:
            wanted = usual * (last - first)
            before = spread[first - 1].end if first else 0.0
            behind = spread[last].start if last < len(spread) else time
            if before < time:
                _share_out(spread, first, last, (max(before, time - wanted), time))
            elif behind > time:
                _share_out(spread, first, last, (time, min(behind, time + wanted)))
            else:
                _share_with_neighbour(spread, first, last)
        first = last + 1
    return spread


def _share_with_neighbour(words: list[Word], first: int, last: int) -> None:
    """Share the time of the longer neighbour of `words[first:last]` between all of them."""
    before = words[first - 1].end - words[first - 1].start if first else 0.0
    behind = words[last].end - words[last].start if last < len(words) else 0.0
    if first and before >= behind:
        first -= 1
    elif last < len(words):
        last += 1
    _share_out(words, first, last, (words[first].start, words[last - 1].end))


def _share_out(words: list[Word], first: int, last: int, time: tuple[float, float]) -> None:
    """Lay `words[first:last]` between two times, each as long as its letters."""
    start, end = time
    run = words[first:last]
    letters = [0, *accumulate(map(_letters, run))]
    edges = [start + (end - start) * before / letters[-1] for before in letters[:-1]] + [end]
    words[first:last] = [
        replace(word, start=own_start, end=own_end)
        for word, (own_start, own_end) in zip(run, pairwise(edges), strict=True)
    ]


def _with_punctuation(words: Sequence[Word]) -> list[Word]:
    """Merge lone punctuation into its neighbour, whose times stay those of the spoken word.

    A mark takes the end of the sound of the word before it, which gets up to `DECAY_S` of it back.
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
    """Whether a sentence ends with `text`, as far as its last mark tells."""
    return text.rstrip(CLOSING).endswith(_SENTENCE_ENDS)

"""Hypotheses to segments: which to believe, and how to read their time marks.

The rules are those of Radford et al. 2022 (section 4.5) as openai/whisper applies them: a text that
repeats itself or was guessed is tried again at a higher temperature; a window without speech is
left silent. Two signs of repetition and run-away that they miss are in `text.guards`.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from whisperlive_hybrid.text.wer import words_in
from whisperlive_hybrid.types import TIME_MARK_S, Hypothesis, Segment, Thresholds, Vocabulary

FEWEST_REPEATS: Final = 4
"""Fewer are a manner of speaking, whatever is repeated: an announcement is made three times."""

FEWEST_WORDS: Final = 8
"""A single word needs as many repeats as this to be a loop; "no, no, no, no" is an answer."""

TOKENS_PER_S: Final = 30.0
"""No speech has more. Measured with the tokenizer of Whisper's multilingual models on article 1 of
the Universal Declaration of Human Rights, spoken by espeak-ng at 175 and at 300 words a minute, far
beyond people: English 4 and 7, Finnish 6 and 10, Chinese 4 and 8, Japanese 8 and 13, Hindi 17 and
28, Georgian 15 and 29, Malayalam 16 and 26, Amharic 10 and 15. Where a character is spelled by
several tokens (Georgian: 2.4) it counts once; without that Georgian has 70."""

SPARE_TOKENS: Final = 20
"""On top, so that a word at the border of a very short window is no fault."""


SPARSE_FROM_S: Final = 4.0
"""Seconds of speech from which a few words are a sign of many that were passed over."""

SPARSE_TOKENS_PER_S: Final = 2.0
"""Text tokens per second of speech below which words were passed over."""


def compression_ratio(text: str) -> float:
    """Bytes of `text` per byte of its zlib form: 2.4 and more means repetition."""
    encoded = text.encode()
    return len(encoded) / len(zlib.compress(encoded))


def loop_ratio(text: str) -> float:
    """The compression ratio of the most repetitive loop in `text` alone; 0 if nothing loops.

    A loop is the same run of words over and over without anything between; case and punctuation do
    not count, and in scripts without spaces a character stands for a word. The ratio of Whisper's
    rule, taken of the loop alone, asks for the more repeats the shorter the run is: with 2.4 "no"
    may be said ten times in a row, "yes" eight, "thank you" five, a whole sentence three times.
    """
    words = words_in(text)
    longest_run = len(words) // FEWEST_REPEATS
    loops = (_longest_loop(words, size) for size in range(1, longest_run + 1))
    return max((compression_ratio(" ".join(loop)) for loop in loops if loop), default=0.0)


def is_overfull(text: str, n_tokens: int, duration: float) -> bool:
    """Whether `text` of so many text tokens is more than `duration` seconds of audio can hold."""
    return min(n_tokens, len(text)) > SPARE_TOKENS + TOKENS_PER_S * duration


def is_sparse(n_tokens: int, speech_s: float) -> bool:
    """Whether so many text tokens tell too little for so many seconds of speech."""
    return speech_s >= SPARSE_FROM_S and n_tokens < SPARSE_TOKENS_PER_S * speech_s


def _longest_loop(words: Sequence[str], size: int) -> Sequence[str]:
    """The longest stretch that repeats a run of `size` words often enough; empty if none does."""
    end, longest, repeated = 0, 0, 0
    for i in range(size, len(words)):
        repeated = repeated + 1 if words[i] == words[i - size] else 0
        if repeated > longest:
            longest, end = repeated, i + 1
    length = longest + size
    if length < max(FEWEST_WORDS, FEWEST_REPEATS * size):
        return ()
    return words[end - length : end]


class Verdict(Enum):
    """What becomes of a hypothesis."""

    ACCEPT = auto()
    RETRY = auto()
    """Not believed: try the next temperature."""
    SILENCE = auto()
    """Nobody spoke; the text is not shown."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A hypothesis with its text and the signs that nobody said it."""

    hypothesis: Hypothesis
    text: str
    compression_ratio: float
    loop_ratio: float = 0.0
    is_overfull: bool = False

    @staticmethod
    def of(hypothesis: Hypothesis, vocabulary: Vocabulary, duration: float) -> "Candidate":
        """Read a hypothesis about `duration` seconds of audio."""
        text = vocabulary.decode(hypothesis.tokens).strip()
        n_tokens = sum(token < vocabulary.end_of_text for token in hypothesis.tokens)
        return Candidate(
            hypothesis,
            text,
            compression_ratio(text),
            loop_ratio(text),
            is_overfull(text, n_tokens, duration),
        )

    def is_runaway(self, thresholds: Thresholds) -> bool:
        """Whether the text repeats itself, or is more than anybody can say in that time."""
        repeats = max(self.compression_ratio, self.loop_ratio) > thresholds.compression_ratio
        return repeats or self.is_overfull


def judge(candidate: Candidate, thresholds: Thresholds) -> Verdict:
    """Decide on one candidate by Whisper's three rules and the guards."""
    is_guess = candidate.hypothesis.avg_logprob < thresholds.avg_logprob
    if is_guess and candidate.hypothesis.no_speech_prob > thresholds.no_speech:
        return Verdict.SILENCE
    if is_guess or candidate.is_runaway(thresholds):
        return Verdict.RETRY
    return Verdict.ACCEPT


def pick_least_bad(candidates: Sequence[Candidate], thresholds: Thresholds) -> Candidate:
    """The candidate to keep when none was accepted: the likeliest that does not run away."""
    sober = [candidate for candidate in candidates if not candidate.is_runaway(thresholds)]
    return max(sober or candidates, key=lambda c: c.hypothesis.avg_logprob)


def cut_segments(
    candidate: Candidate, vocabulary: Vocabulary, duration: float
) -> tuple[Segment, ...]:
    """Cut a candidate at its time marks; times are on the window clock, within [0, duration].

    Unlike openai/whisper, which seeks back to the last complete segment, text behind the last time
    mark is kept: it ends where the window ends, since a window is cut in silence.
    """
    return tuple(
        Segment(
            start=start,
            end=end,
            text=text,
            tokens=tokens,
            temperature=candidate.hypothesis.temperature,
            avg_logprob=candidate.hypothesis.avg_logprob,
            compression_ratio=candidate.compression_ratio,
            no_speech_prob=candidate.hypothesis.no_speech_prob,
        )
        for start, end, tokens in _timed_runs(candidate.hypothesis.tokens, vocabulary, duration)
        if (text := vocabulary.decode(tokens)).strip()
    )


def find_text_end(tokens: Sequence[int], vocabulary: Vocabulary, duration: float) -> float:
    """Return the window time up to which a hypothesis tells what is said, within [0, duration].

    A text behind the last time mark reaches to the end of the window. A last mark is believed to be
    where the text before it ends, or where a next segment would begin: Whisper stops there when it
    sees another segment that it has no room for, or has lost the thread.
    """
    text = [i for i, token in enumerate(tokens) if token < vocabulary.end_of_text]
    marks = [i for i, token in enumerate(tokens) if token >= vocabulary.timestamp_begin]
    if text and (not marks or marks[-1] < text[-1]):
        return duration
    if not text:
        return 0.0
    return min((tokens[marks[-1]] - vocabulary.timestamp_begin) * TIME_MARK_S, duration)


def _timed_runs(
    tokens: Sequence[int], vocabulary: Vocabulary, duration: float
) -> Iterator[tuple[float, float, tuple[int, ...]]]:
    """(start, end, tokens with their time marks) of each run of text between time marks."""
    start, first, has_text = 0.0, 0, False
    for i, token in enumerate(tokens):
        if token < vocabulary.timestamp_begin:
            has_text = has_text or token < vocabulary.end_of_text
            continue
        mark = min((token - vocabulary.timestamp_begin) * TIME_MARK_S, duration)
        if has_text:
            yield start, max(start, mark), tuple(tokens[first : i + 1])
            first, has_text = i + 1, False
        else:
            first = i
        start = max(start, mark)
    if has_text:
        yield start, duration, tuple(tokens[first:])

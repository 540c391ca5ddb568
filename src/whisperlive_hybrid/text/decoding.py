"""Hypotheses to segments: which to believe, and how to read their time marks.

The rules are those of Radford et al. 2022 (section 4.5) as openai/whisper applies them: a text that
repeats itself or was guessed is tried again at a higher temperature; a window without speech is
left silent.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from whisperlive_hybrid.types import (
    TIME_MARK_S,
    Hypothesis,
    Segment,
    Thresholds,
    Vocabulary,
)


class Verdict(Enum):
    """What becomes of a hypothesis."""

    ACCEPT = auto()
    RETRY = auto()
    """Not believed: try the next temperature."""
    SILENCE = auto()
    """Nobody spoke; the text is not shown."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A hypothesis with its text and how much that repeats itself."""

    hypothesis: Hypothesis
    text: str
    compression_ratio: float

    @staticmethod
    def of(hypothesis: Hypothesis, vocabulary: Vocabulary) -> "Candidate":
        """Read a hypothesis."""
        text = vocabulary.decode(hypothesis.tokens).strip()
        return Candidate(hypothesis, text, compression_ratio(text))


def compression_ratio(text: str) -> float:
    """Bytes of `text` per byte of its zlib form: 2.4 and more means repetition."""
    encoded = text.encode()
    return len(encoded) / len(zlib.compress(encoded))


def judge(candidate: Candidate, thresholds: Thresholds) -> Verdict:
    """Decide on one candidate by Whisper's three rules."""
    is_guess = candidate.hypothesis.avg_logprob < thresholds.avg_logprob
    if is_guess and candidate.hypothesis.no_speech_prob > thresholds.no_speech:
        return Verdict.SILENCE
    if is_guess or candidate.compression_ratio > thresholds.compression_ratio:
        return Verdict.RETRY
    return Verdict.ACCEPT


def least_bad(candidates: Sequence[Candidate], thresholds: Thresholds) -> Candidate:
    """The candidate to keep when none was accepted: the likeliest that does not repeat itself."""
    sober = [c for c in candidates if c.compression_ratio <= thresholds.compression_ratio]
    return max(sober or candidates, key=lambda c: c.hypothesis.avg_logprob)


def segments(candidate: Candidate, vocabulary: Vocabulary, duration: float) -> tuple[Segment, ...]:
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

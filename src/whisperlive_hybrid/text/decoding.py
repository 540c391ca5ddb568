"""Hypotheses to segments: which to believe, and how to read their time marks.

The rules are those of Radford et al. 2022 (section 4.5) as openai/whisper applies them: a text that
repeats itself or was guessed is tried again at a higher temperature; a window without speech is
left silent. Two signs of repetition and run-away that they miss are in `text.guards`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from whisperlive_hybrid.text.guards import compression_ratio, is_overfull, loop_ratio
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

    def runs_away(self, thresholds: Thresholds) -> bool:
        """Whether the text repeats itself, or is more than anybody can say in that time."""
        repeats = max(self.compression_ratio, self.loop_ratio) > thresholds.compression_ratio
        return repeats or self.is_overfull


def judge(candidate: Candidate, thresholds: Thresholds) -> Verdict:
    """Decide on one candidate by Whisper's three rules and the guards."""
    is_guess = candidate.hypothesis.avg_logprob < thresholds.avg_logprob
    if is_guess and candidate.hypothesis.no_speech_prob > thresholds.no_speech:
        return Verdict.SILENCE
    if is_guess or candidate.runs_away(thresholds):
        return Verdict.RETRY
    return Verdict.ACCEPT


def least_bad(candidates: Sequence[Candidate], thresholds: Thresholds) -> Candidate:
    """The candidate to keep when none was accepted: the likeliest that does not run away."""
    sober = [candidate for candidate in candidates if not candidate.runs_away(thresholds)]
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


def read_to(tokens: Sequence[int], vocabulary: Vocabulary, duration: float) -> float:
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

"""The verdict on a model's hypotheses, and their segments.

The rules are those of Radford et al. 2022 (section 4.5) as openai/whisper applies them: a text that
repeats itself or has a low probability is decoded again at a higher temperature; a window without
speech gets no text. `loop_ratio` and `is_overfull` find repetition that these rules miss.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from whisperlive_hybrid.text.wer import words_in
from whisperlive_hybrid.types import TIME_MARK_S, Hypothesis, Segment, Thresholds, Vocabulary

FEWEST_REPEATS: Final = 4
"""Repeats of the shortest loop; fewer are common in speech: announcements are made three times."""

FEWEST_WORDS: Final = 8
"""Words of the shortest loop; "no, no, no, no" is an answer."""

TOKENS_PER_S: Final = 30.0
"""More tokens per second than any speech has. Measured with the tokenizer of Whisper's multilingual
models on article 1 of the Universal Declaration of Human Rights, spoken by espeak-ng at 175 and,
far faster than people, at 300 words per minute: English 4 and 7, Finnish 6 and 10, Chinese 4 and 8,
Japanese 8 and 13, Hindi 17 and 28, Georgian 15 and 29, Malayalam 16 and 26, Amharic 10 and 15. A
character of several tokens (Georgian: 2.4) counts once; otherwise Georgian has 70."""

SPARE_TOKENS: Final = 20
"""Additional tokens, for a word at the border of a very short window."""

SPARSE_FROM_S: Final = 4.0
"""Seconds of speech from which a sparse text is a sign of missing words."""

SPARSE_TOKENS_PER_S: Final = 2.0
"""Text tokens per second of speech below which a text is sparse."""


def compression_ratio(text: str) -> float:
    """Return the bytes of `text` per byte of its zlib form; 2.4 and more means repetition."""
    encoded = text.encode()
    return len(encoded) / len(zlib.compress(encoded))


def loop_ratio(text: str) -> float:
    """Return the highest compression ratio of a loop in `text`, without the rest; 0 if none.

    A loop is the same run of words again and again with nothing in between, without case and
    punctuation; in scripts without spaces each character counts as a word. The limit of Whisper's
    rule, applied to the loop alone, allows more repeats of shorter runs: with 2.4, ten of "no",
    eight of "yes", five of "thank you", three of a whole sentence.
    """
    words = words_in(text)
    highest = 0.0
    for size in range(1, len(words) // FEWEST_REPEATS + 1):
        end, longest, repeated = 0, 0, 0
        for i in range(size, len(words)):
            repeated = repeated + 1 if words[i] == words[i - size] else 0
            if repeated > longest:
                longest, end = repeated, i + 1
        length = longest + size
        if length >= max(FEWEST_WORDS, FEWEST_REPEATS * size):
            highest = max(highest, compression_ratio(" ".join(words[end - length : end])))
    return highest


def is_overfull(text: str, n_tokens: int, duration: float) -> bool:
    """Return True if `text` has more text tokens than `duration` seconds of speech can have."""
    # A character of several tokens counts once; see `TOKENS_PER_S`.
    return min(n_tokens, len(text)) > SPARE_TOKENS + TOKENS_PER_S * duration


def is_sparse(n_tokens: int, speech_s: float) -> bool:
    """Return True if a text has so few tokens for `speech_s` that words must be missing."""
    return speech_s >= SPARSE_FROM_S and n_tokens < SPARSE_TOKENS_PER_S * speech_s


class Verdict(Enum):
    """What to do with a hypothesis."""

    ACCEPT = auto()
    RETRY = auto()
    """Decode again at the next temperature."""
    SILENCE = auto()
    """There was no speech; drop the text."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A hypothesis with its text and the signs that the text is not what was said."""

    hypothesis: Hypothesis
    text: str
    compression_ratio: float
    loop_ratio: float = 0.0
    is_overfull: bool = False

    @staticmethod
    def of(hypothesis: Hypothesis, vocabulary: Vocabulary, duration: float) -> "Candidate":
        """Return the candidate of a hypothesis for `duration` seconds of audio."""
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
        """Return True if the text repeats itself, or is too long for its duration."""
        repeats = max(self.compression_ratio, self.loop_ratio) > thresholds.compression_ratio
        return repeats or self.is_overfull


def judge(candidate: Candidate, thresholds: Thresholds) -> Verdict:
    """Return the verdict on one candidate, by Whisper's three rules and `is_runaway`."""
    # Silence comes first, as in openai/whisper: it is not decoded again.
    is_guess = candidate.hypothesis.avg_logprob < thresholds.avg_logprob
    if is_guess and candidate.hypothesis.no_speech_prob > thresholds.no_speech:
        return Verdict.SILENCE
    if is_guess or candidate.is_runaway(thresholds):
        return Verdict.RETRY
    return Verdict.ACCEPT


def pick_least_bad(candidates: Sequence[Candidate], thresholds: Thresholds) -> Candidate:
    """Return the best of the rejected candidates: the most probable one that is no runaway."""
    sound = [candidate for candidate in candidates if not candidate.is_runaway(thresholds)]
    return max(sound or candidates, key=lambda c: c.hypothesis.avg_logprob)


def split_segments(
    candidate: Candidate, vocabulary: Vocabulary, duration: float
) -> tuple[Segment, ...]:
    """Cut a candidate at its time marks; times are on the window clock, within [0, duration].

    Text after the last time mark ends where the window ends, since a window is cut in silence;
    openai/whisper drops it and decodes again from the last time mark.
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
        for start, end, tokens in _split_at_marks(candidate.hypothesis.tokens, vocabulary, duration)
        if (text := vocabulary.decode(tokens)).strip()
    )


def find_text_end(tokens: Sequence[int], vocabulary: Vocabulary, duration: float) -> float:
    """Return the window time up to which a hypothesis has text, within [0, duration].

    Text after the last time mark ends with the window. Otherwise the last mark counts: it is the
    end of the text before it or the start of a segment that Whisper did not write.
    """
    text = [i for i, token in enumerate(tokens) if token < vocabulary.end_of_text]
    marks = [i for i, token in enumerate(tokens) if token >= vocabulary.timestamp_begin]
    # Whisper ends with a mark if it has no room for the next segment, or has lost its position.
    if text and (not marks or marks[-1] < text[-1]):
        return duration
    if not text:
        return 0.0
    return min((tokens[marks[-1]] - vocabulary.timestamp_begin) * TIME_MARK_S, duration)


def _split_at_marks(
    tokens: Sequence[int], vocabulary: Vocabulary, duration: float
) -> Iterator[tuple[float, float, tuple[int, ...]]]:
    """Yield start, end and tokens, with their time marks, of each run of text between marks."""
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
        start = max(start, mark)  # marks may go back, but segments never overlap
    if has_text:
        yield start, duration, tuple(tokens[first:])

"""A backend without a model for tests: deterministic, instant, and as strict as a real one.

It reads amplitudes. A plateau of level n / 1000 for at least 0.1 s is the word "wn"; `speak` makes
such audio. So a test can state the words that must be transcribed, once each and in order, and can
count lost ones. Levels from 990 on cause failures, see `Trouble`.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import groupby
from typing import Final

import numpy as np

from whisperlive_hybrid.backends.base import (
    Align,
    Capabilities,
    DetectLanguage,
    Encode,
    Encoded,
    Generate,
    Work,
)
from whisperlive_hybrid.speech.regions import FRAME
from whisperlive_hybrid.types import (
    SAMPLE_RATE,
    TIME_MARK_S,
    Hypothesis,
    Language,
    Samples,
    Task,
    TokenTime,
    Window,
)

WORD_S: Final = 0.3
"""Seconds of a word."""
PAUSE_S: Final = 0.06
"""Seconds of silence between words of one utterance."""

_STEP_S: Final = 0.02
_SHORTEST_S: Final = 0.1
_END_OF_TEXT: Final = 1000
_TIMESTAMP_BEGIN: Final = 1100


class Trouble(IntEnum):
    """Levels that make `generate` misbehave."""

    ITEM_FAILS = 990
    """The item's result is an exception; other items are not affected."""
    CALL_DIES = 991
    """The whole call raises."""
    GUESSES_WHILE_COLD = 992
    """The hypothesis is improbable at temperature 0 only."""


def speak(words: Sequence[int]) -> Samples:
    """Return audio of these words (levels 1 to 999) at 16 kHz."""
    gap = np.zeros(round(PAUSE_S * SAMPLE_RATE), np.float32)
    pieces: list[Samples] = []
    for word in words:
        pieces += [np.full(round(WORD_S * SAMPLE_RATE), word / 1000, np.float32), gap]
    return np.concatenate([gap[:0], *pieces])


def pause(seconds: float) -> Samples:
    """Return digital silence at 16 kHz."""
    return np.zeros(round(seconds * SAMPLE_RATE), np.float32)


class FakeVocabulary:
    """A vocabulary in which token n is the word " wn"."""

    end_of_text: int = _END_OF_TEXT
    timestamp_begin: int = _TIMESTAMP_BEGIN

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the words of the text tokens."""
        return "".join(f" w{token}" for token in tokens if token < _END_OF_TEXT)

    def spelling(self, token: int) -> bytes:
        """Return the word with its leading space."""
        return f" w{token}".encode()

    def split_words(self, tokens: Sequence[int], language: str) -> list[tuple[str, int]]:
        """Return one word per token, in any language."""
        del language
        return [(f" w{token}", 1) for token in tokens]


@dataclass(frozen=True, slots=True)
class FakeEncoded:
    """The words of a window with their times: (level, start, end)."""

    words: tuple[tuple[int, float, float], ...]
    context_s: float

    @property
    def seen_s(self) -> float:
        """The context: there is no silent tail."""
        return self.context_s

    @classmethod
    def read(cls, window: Window, context_s: float) -> "FakeEncoded":
        """Find the plateaus of a window that are long enough for a word."""
        step = round(_STEP_S * SAMPLE_RATE)
        n_steps = len(window.samples) // step
        levels = np.rint(window.samples[: n_steps * step : step] * 1000).astype(int)
        words: list[tuple[int, float, float]] = []
        first = 0
        for level, run in groupby(levels.tolist()):
            length = len(list(run))
            if level > 0 and length * _STEP_S >= _SHORTEST_S:
                words.append((level, first * _STEP_S, (first + length) * _STEP_S))
            first += length
        return cls(tuple(words), context_s)


@dataclass(slots=True)
class FakeBackend:
    """The backend; `calls` records the kind and size of every call for tests."""

    name: str = "fake"
    workers: int = 1
    generate_batch: int = 8
    file_batch: int | None = None
    contexts_s: tuple[float, ...] = (5.0, 10.0, 30.0)
    longest_window_s: float = 30.0
    languages: frozenset[str] = frozenset({"en", "de"})
    language: Language = field(default_factory=lambda: Language("en", 0.9))
    foreign: Mapping[int, Language] = field(default_factory=dict)
    """The languages of words of these levels; all others are in `language`."""
    calls: list[tuple[type, int]] = field(default_factory=list)
    vocabulary: FakeVocabulary = field(default_factory=FakeVocabulary)
    is_closed: bool = False

    @property
    def capabilities(self) -> Capabilities:
        """The features that it imitates."""
        return Capabilities(
            model=self.name,
            backend="fake",
            device="cpu",
            compute_type="none",
            languages=self.languages,
            tasks=frozenset(Task),
            word_times=True,
            token_probabilities=True,
            prompts=True,
            workers=self.workers,
            encode_batch=1,
            generate_batch=self.generate_batch,
            file_batch=self.file_batch,
            longest_window_s=self.longest_window_s,
            contexts_s=self.contexts_s,
            context_tail_s=0.5,
            note="The fake backend reads amplitudes, not speech; it is for tests.",
        )

    def batch_key(self, work: Work) -> Hashable:
        """Return kind, context and options, as strictly as for CTranslate2."""
        match work:
            case Encode():
                return (Encode, work.context_s)
            case DetectLanguage():
                return (DetectLanguage, work.encoded.context_s)
            case Align():
                return (Align, work.encoded.context_s, work.language.code)
            case Generate():
                beam_size = work.options.beam_size
                return (Generate, work.encoded.context_s, work.temperature, beam_size)

    def encode(self, batch: Sequence[Encode]) -> list[Encoded | Exception]:
        """Return the words of each window."""
        self._record_call(batch)
        return [FakeEncoded.read(work.window, work.context_s) for work in batch]

    def detect_language(self, batch: Sequence[DetectLanguage]) -> list[Language | Exception]:
        """Return the language of the first word, or the first candidate with the rest of 1."""
        self._record_call(batch)
        languages: list[Language | Exception] = []
        for work in batch:
            levels = [level for level, _, _ in _words(work)]
            language = self.foreign.get(levels[0], self.language) if levels else self.language
            if work.candidates and language.code not in work.candidates:
                language = Language(work.candidates[0], 1 - language.probability)
            languages.append(language)
        return languages

    def generate(self, batch: Sequence[Generate]) -> list[Hypothesis | Exception]:
        """Return the words with a time mark before the first and after the last."""
        self._record_call(batch)
        if any(_has(work, Trouble.CALL_DIES) for work in batch):
            raise RuntimeError("the fake call died")
        hypotheses: list[Hypothesis | Exception] = []
        for work in batch:
            words = _words(work)
            is_guess = work.temperature == 0 and _has(work, Trouble.GUESSES_WHILE_COLD)
            if _has(work, Trouble.ITEM_FAILS):
                hypotheses.append(RuntimeError("the fake item failed"))
            elif not words:
                hypotheses.append(Hypothesis((), -2.0, 0.99, work.temperature))
            else:
                tokens = (
                    _TIMESTAMP_BEGIN + round(words[0][1] / TIME_MARK_S),
                    *(level for level, _, _ in words),
                    _TIMESTAMP_BEGIN + round(words[-1][2] / TIME_MARK_S),
                )
                avg_logprob = -2.0 if is_guess else -0.1
                hypotheses.append(Hypothesis(tokens, avg_logprob, 0.0, work.temperature))
        return hypotheses

    def align(self, batch: Sequence[Align]) -> list[list[TokenTime] | Exception]:
        """Return the exact times of the plateaus; word wn has probability n / 1000."""
        self._record_call(batch)
        return [[TokenTime(a, b, n / 1000) for n, a, b in _words(work)] for work in batch]

    def close(self) -> None:
        """Set `is_closed`."""
        self.is_closed = True

    def _record_call(self, batch: Sequence[Work]) -> None:
        if len({self.batch_key(work) for work in batch}) != 1:
            raise ValueError("a batch of mixed keys")
        self.calls.append((type(batch[0]), len(batch)))


class EnergyVad:
    """A voice activity detector for `speak`: all that is not digital silence is speech."""

    def open(self) -> "EnergyStream":
        """Return a new stream."""
        return EnergyStream()


class EnergyStream:
    """Probabilities of one stream: 1.0 for a frame with sound in it, 0.0 for silence."""

    def __init__(self) -> None:
        self._rest: Samples = np.zeros(0, np.float32)

    def push(self, samples: Samples) -> list[float]:
        """Return the probability of speech in each frame that `samples` complete."""
        waiting = np.concatenate([self._rest, samples])
        n_frames = len(waiting) // FRAME
        self._rest = waiting[n_frames * FRAME :]
        frames = waiting[: n_frames * FRAME].reshape(n_frames, FRAME)
        return [float(frame.any()) for frame in frames]

    def flush(self) -> list[float]:
        """Return the probability of the last, incomplete frame."""
        rest, self._rest = self._rest, self._rest[:0]
        return [float(rest.any())] if len(rest) else []


def _words(work: DetectLanguage | Generate | Align) -> tuple[tuple[int, float, float], ...]:
    return work.encoded.words if isinstance(work.encoded, FakeEncoded) else ()


def _has(work: Generate, trouble: Trouble) -> bool:
    return any(level == trouble for level, _, _ in _words(work))

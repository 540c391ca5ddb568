"""The nouns of the project: what flows from samples to text.

Two clocks are in use. *Recording* time counts from the first sample of a file or a connection;
*window* time counts from the first sample of one `Window`. Every docstring says which is meant.
Audio is mono float32 at `SAMPLE_RATE`, nominally in [-1, 1].
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, IntEnum
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]
"""(n,) float32, mono, 16 kHz."""

SAMPLE_RATE: Final = 16_000
"""Samples per second everywhere behind the doors; Whisper's own rate."""

CONTEXT_S: Final = 30.0
"""Seconds of audio that a Whisper encoder was trained on: its full context."""


TIME_MARK_S: Final = 0.02
"""Seconds between two time marks, and between two encoder positions."""


class Task(Enum):
    """What to do with the speech."""

    TRANSCRIBE = "transcribe"
    TRANSLATE = "translate"  # into English, as Whisper does


class Urgency(IntEnum):
    """Classes of work, most urgent first."""

    FINAL = 0
    """The end of a live utterance: somebody waits for these very words."""
    UPDATE = 1
    """A better guess at an utterance that is still being spoken."""
    SHORT_FILE = 2
    """A file that a caller waits for."""
    BULK = 3
    """Long files and jobs; they fill the gaps and keep a minimum share."""

    @property
    def is_live(self) -> bool:
        """Whether a live stream waits for it."""
        return self <= Urgency.UPDATE


@dataclass(frozen=True, slots=True)
class WindowSpan:
    """A run of recording samples as it lies in a window."""

    window_sample: int
    recording_sample: int
    length: int


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """The unit of work: at most 30 s of speech, cut in silence.

    `spans` tell where its samples lie in the recording, in order and without gaps in the window.
    `speech` are the stretches in which the detector found speech, (start, end) in seconds on the
    window clock, in order; none where nothing is known of it: then nothing counts as unread.
    """

    samples: Samples
    spans: tuple[WindowSpan, ...]
    speech: tuple[tuple[float, float], ...] = ()

    @property
    def duration(self) -> float:
        """Seconds of audio in the window."""
        return len(self.samples) / SAMPLE_RATE

    @property
    def start(self) -> float:
        """Recording time of the first sample."""
        return self.spans[0].recording_sample / SAMPLE_RATE

    @property
    def end(self) -> float:
        """Recording time just after the last sample."""
        last = self.spans[-1]
        return (last.recording_sample + last.length) / SAMPLE_RATE

    @property
    def speech_s(self) -> float:
        """Seconds of speech; the whole duration where nothing is known of it."""
        if not self.speech:
            return self.duration
        return sum(end - start for start, end in self.speech)

    def speech_after(self, time: float) -> tuple[tuple[float, float], ...]:
        """Return the stretches of speech behind a window time, the one across it cut there."""
        return tuple((max(start, time), end) for start, end in self.speech if end > time)

    def speech_in(self, start: float, end: float) -> tuple[tuple[float, float], ...]:
        """Return the stretches of speech in [start, end), window times, cut at both."""
        return tuple((a, min(b, end)) for a, b in self.speech_after(start) if a < end)

    def part(self, start: float, end: float) -> "Window":
        """Return [start, end) of the window, window times, as a window of its own."""
        rest = self.rest_from(start)
        n_samples = round((end - start) * SAMPLE_RATE)
        spans = tuple(
            replace(span, length=min(span.length, n_samples - span.window_sample))
            for span in rest.spans
            if span.window_sample < n_samples
        )
        return Window(rest.samples[:n_samples], spans, rest.speech_in(0.0, end - start))

    def rest_from(self, time: float) -> "Window":
        """Return the window from a window time to its end, as a window of its own."""
        first = round(time * SAMPLE_RATE)
        spans = tuple(
            WindowSpan(
                max(0, span.window_sample - first),
                span.recording_sample + max(0, first - span.window_sample),
                span.length - max(0, first - span.window_sample),
            )
            for span in self.spans
            if span.window_sample + span.length > first
        )
        speech = tuple((start - time, end - time) for start, end in self.speech_after(time))
        return Window(self.samples[first:], spans, speech)


@dataclass(frozen=True, slots=True)
class Word:
    """One word with its measured place; `text` keeps its leading space."""

    text: str
    start: float
    end: float
    probability: float

    @property
    def middle(self) -> float:
        """Where a cut decides on which side of it the word is."""
        return (self.start + self.end) / 2


@dataclass(frozen=True, slots=True)
class ScoredToken:
    """A text token as the model spells it, and how probable it was after the text before it."""

    spelling: bytes
    """UTF-8, maybe only a part of a character."""
    probability: float


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of text as Whisper cut it; `text` keeps its leading space.

    `words` and `scored` are None where they were not asked for. `avg_logprob`, `compression_ratio`
    and `no_speech_prob` judge the whole hypothesis that the segment came from.
    """

    start: float
    end: float
    text: str
    tokens: tuple[int, ...]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float
    words: tuple[Word, ...] | None = None
    scored: tuple[ScoredToken, ...] | None = None
    """The text tokens; their spellings put together are `text`."""
    language: str | None = None
    """Code of the language that is spoken in it; None where the recording has one language."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When a hypothesis is not believed; the defaults are those of openai/whisper."""

    compression_ratio: float = 2.4
    """Above it the text, or a loop in it, repeats itself."""
    avg_logprob: float = -1.0
    """Below it the model was guessing."""
    no_speech: float = 0.6
    """Above it, and with a low `avg_logprob`, there was no speech."""


TEMPERATURES: Final = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""The ladder of openai/whisper: hotter after each hypothesis that is not believed."""


DEFAULT_BEAM_SIZE: Final = 5
"""That of openai/whisper's command line."""


@dataclass(frozen=True, slots=True)
class DecodeOptions:
    """How to read one window. Plain values only, so that it can travel to another machine."""

    language: str | None = None
    """Whisper's code such as "en"; None to detect it from the window."""
    task: Task = Task.TRANSCRIBE
    prompt: str = ""
    """Text that the speech might continue; steers spelling and style."""
    hotwords: str = ""
    """Words that are likely to occur."""
    words: bool = False
    """Whether to measure word times."""
    token_probabilities: bool = False
    """Whether to say how probable each token of the text is."""
    beam_size: int = DEFAULT_BEAM_SIZE
    """Hypotheses followed side by side; of the default, as many as the backend can follow."""
    temperatures: tuple[float, ...] = TEMPERATURES
    thresholds: Thresholds = field(default_factory=Thresholds)
    is_guess: bool = False
    """An answer that is not believed is left out, rather than tried again at any price."""
    max_new_tokens: int | None = None
    """Bound on the length of the answer, against run-away; None for the model's own."""
    candidates: tuple[str, ...] = ()
    """The languages among which to detect; empty for all that the model knows."""
    switch_threshold: float | None = None
    """For recordings in several languages: the probability from which a window is read in the
    language that is detected in it, and not in `language`. None where one language holds."""
    checks_language: bool = False
    """Whether to detect the language also where `language` is given, and only to report it."""


@dataclass(frozen=True, slots=True)
class Language:
    """A language code with the probability that the model gave it (1.0 where it was told)."""

    code: str
    probability: float


@dataclass(frozen=True, slots=True)
class DecodeResult:
    """What the engine answers for one window: its segments on the window clock."""

    segments: tuple[Segment, ...]
    language: Language
    was_doubted: bool = False
    """Whether the first hypothesis was not believed, and the window was read again."""
    unread: tuple[tuple[float, float], ...] = ()
    """Stretches in which the detector found speech and the model wrote nothing, (start, end) in
    seconds on the window clock."""
    detected: Language | None = None
    """What the model took the language for; None where it was not asked."""

    @property
    def last_language(self) -> Language:
        """That of its end, where it has several; `language` is the first one."""
        code = self.segments[-1].language if self.segments else None
        return self.language if code is None else Language(code, self.language.probability)


@dataclass(frozen=True, slots=True)
class Region:
    """A stretch of speech with its pauses in the recording, [start, end) in samples.

    `speech` are the parts of it in which somebody speaks, as far as that is known.
    """

    start: int
    end: int
    speech: tuple[tuple[int, int], ...] = ()


def join_text(segments: Sequence[Segment]) -> str:
    """The running text of segments, without the leading space of the first."""
    return "".join(segment.text for segment in segments).strip()


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What a model wrote for one window at one temperature, before anybody believes it.

    `tokens` are text tokens and time marks, without start and end marks. `avg_logprob` is the
    mean log probability per token, end mark included, as openai/whisper counts it.
    """

    tokens: tuple[int, ...]
    avg_logprob: float
    no_speech_prob: float
    temperature: float


@dataclass(frozen=True, slots=True)
class TokenTime:
    """When a text token was heard (window clock) and how probable it was."""

    start: float
    end: float
    probability: float


class Vocabulary(Protocol):
    """The part of a tokenizer that turns tokens back into text."""

    @property
    def timestamp_begin(self) -> int:
        """The token that marks 0.00 s; later ones follow in steps of `TIME_MARK_S`."""

    @property
    def end_of_text(self) -> int:
        """The first special token: every token below it is text."""

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of text tokens; anything special is left out."""

    def spelling(self, token: int) -> bytes:
        """The bytes of one text token: UTF-8, maybe only a part of a character."""

    def split_words(self, tokens: Sequence[int], language: str) -> list[tuple[str, int]]:
        """Cut text tokens into words: each with its text and its number of tokens, in order."""

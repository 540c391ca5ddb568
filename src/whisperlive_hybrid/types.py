"""The values of the project, from samples to text.

There are two clocks. *Recording* time counts from the first sample of a file or a connection;
*window* time counts from the first sample of one `Window`. Docstrings say which one applies.
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
"""Samples per second of all decoded audio; the rate that Whisper was trained on."""

CONTEXT_S: Final = 30.0
"""Seconds of audio that a Whisper encoder was trained on: its full context."""

TIME_MARK_S: Final = 0.02
"""Seconds between two time marks, and between two encoder positions."""


class Task(Enum):
    """What to do with the speech."""

    TRANSCRIBE = "transcribe"
    TRANSLATE = "translate"  # into English, as Whisper does


class Urgency(IntEnum):
    """Priority classes of work, most urgent first."""

    FINAL = 0
    """The final text of a live utterance; its delay is what a speaker notices."""
    UPDATE = 1
    """An interim text of an utterance that is still being spoken."""
    SHORT_FILE = 2
    """A file that a caller waits for."""
    BULK = 3
    """Long files and jobs; they use what is left over, and have a guaranteed minimum share."""

    @property
    def is_live(self) -> bool:
        """True for work of a live stream."""
        return self <= Urgency.UPDATE


@dataclass(frozen=True, slots=True)
class WindowSpan:
    """A run of consecutive samples of the recording, and its position in a window."""

    window_sample: int
    recording_sample: int
    length: int


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no single result of ==
class Window:
    """The unit of decoding: at most 30 s of audio, cut in silence.

    `spans` are the positions of its samples in the recording, in order and without gaps in the
    window. `speech` are the stretches with speech by the voice detector, (start, end) in seconds on
    the window clock, in order; empty if there was no detection, and then none counts as unread.
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
        """Seconds of speech; the whole duration if there was no detection."""
        if not self.speech:
            return self.duration
        return sum(end - start for start, end in self.speech)

    def speech_after(self, time: float) -> tuple[tuple[float, float], ...]:
        """Return the stretches of speech after a window time; one that spans it is cut there."""
        return tuple((max(start, time), end) for start, end in self.speech if end > time)

    def speech_in(self, start: float, end: float) -> tuple[tuple[float, float], ...]:
        """Return the stretches of speech in [start, end), in window time, cut at both ends."""
        return tuple((a, min(b, end)) for a, b in self.speech_after(start) if a < end)

    def part(self, start: float, end: float) -> "Window":
        """Return [start, end) of the window, in window time, as a separate window."""
        rest = self.rest_from(start)
        n_samples = round((end - start) * SAMPLE_RATE)
        spans = tuple(
            replace(span, length=min(span.length, n_samples - span.window_sample))
            for span in rest.spans
            if span.window_sample < n_samples
        )
        return Window(rest.samples[:n_samples], spans, rest.speech_in(0.0, end - start))

    def rest_from(self, time: float) -> "Window":
        """Return the window from a window time to its end, as a separate window."""
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
    """A word with its measured times in seconds; `text` keeps its leading space."""

    text: str
    start: float
    end: float
    probability: float

    @property
    def middle(self) -> float:
        """Its middle; a cut before it leaves the word to the right of the cut."""
        return (self.start + self.end) / 2


@dataclass(frozen=True, slots=True)
class ScoredToken:
    """A text token and its probability given the text before it."""

    spelling: bytes
    """UTF-8, possibly only part of a character."""
    probability: float


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of text between two time marks; `text` keeps its leading space.

    `words` and `scored` are None unless they were requested. `avg_logprob`, `compression_ratio` and
    `no_speech_prob` are those of the whole hypothesis that contains the segment.
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
    """The text tokens; their joined spellings are `text`."""
    language: str | None = None
    """Code of its language; None if one language applies to the whole recording."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Limits beyond which a hypothesis is rejected; the defaults are those of openai/whisper."""

    compression_ratio: float = 2.4
    """Above it the text, or a loop in it, counts as repetition."""
    avg_logprob: float = -1.0
    """Below it the text counts as a guess."""
    no_speech: float = 0.6
    """Above it, and with an `avg_logprob` below its limit, the window counts as silence."""


TEMPERATURES: Final = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Temperatures of openai/whisper's fallback: the next one after each rejected hypothesis."""

DEFAULT_BEAM_SIZE: Final = 5
"""The default of openai/whisper's command line."""


@dataclass(frozen=True, slots=True)
class DecodeOptions:
    """How to decode one window; plain values only, so that a remote engine can be sent them."""

    language: str | None = None
    """Whisper's code such as "en"; None to detect it in the window."""
    task: Task = Task.TRANSCRIBE
    prompt: str = ""
    """Text that might precede the speech; it influences spelling and style."""
    hotwords: str = ""
    """Words that are likely to occur."""
    words: bool = False
    """Measure word times."""
    token_probabilities: bool = False
    """Return the probability of each text token."""
    beam_size: int = DEFAULT_BEAM_SIZE
    """Beam width; the default is reduced to what the backend supports."""
    temperatures: tuple[float, ...] = TEMPERATURES
    thresholds: Thresholds = field(default_factory=Thresholds)
    is_guess: bool = False
    """Decode once, and return no text if the hypothesis is rejected; for interim text."""
    max_new_tokens: int | None = None
    """Most tokens of a hypothesis, against endless repetition; None for the model's limit."""
    candidates: tuple[str, ...] = ()
    """Codes to which language detection is restricted; empty for all of the model's languages."""
    switch_threshold: float | None = None
    """For recordings in several languages: probability from which a window is decoded in its
    detected language instead of `language`. None if the recording has one language."""
    checks_language: bool = False
    """Detect the language even if `language` is given, and only report it."""


@dataclass(frozen=True, slots=True)
class Language:
    """A language code and its probability by the model (1.0 if the client requested it)."""

    code: str
    probability: float


@dataclass(frozen=True, slots=True)
class DecodeResult:
    """The engine's result for one window: segments on the window clock."""

    segments: tuple[Segment, ...]
    language: Language
    was_doubted: bool = False
    """True if the first hypothesis was rejected, and the window was decoded again."""
    unread: tuple[tuple[float, float], ...] = ()
    """Stretches with speech by the voice detector but without text by the model, (start, end) in
    seconds on the window clock."""
    detected: Language | None = None
    """The language that the model detected; None if there was no detection."""

    @property
    def last_language(self) -> Language:
        """The language at its end, if it has several; `language` is the first one."""
        code = self.segments[-1].language if self.segments else None
        return self.language if code is None else Language(code, self.language.probability)


@dataclass(frozen=True, slots=True)
class Region:
    """A stretch of the recording that holds speech and its pauses, [start, end) in samples.

    `speech` are the parts of it with speech by the voice detector.
    """

    start: int
    end: int
    speech: tuple[tuple[int, int], ...] = ()


def join_text(segments: Sequence[Segment]) -> str:
    """Return the text of all segments, without the leading space of the first one."""
    return "".join(segment.text for segment in segments).strip()


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A model's output for one window at one temperature, before it is accepted or rejected.

    `tokens` are text tokens and time marks, without start and end marks. `avg_logprob` is the
    mean log probability per token, end mark included, as in openai/whisper.
    """

    tokens: tuple[int, ...]
    avg_logprob: float
    no_speech_prob: float
    temperature: float


@dataclass(frozen=True, slots=True)
class TokenTime:
    """Start and end of a text token in seconds on the window clock, and its probability."""

    start: float
    end: float
    probability: float


class Vocabulary(Protocol):
    """The part of a tokenizer that turns tokens back into text."""

    @property
    def timestamp_begin(self) -> int:
        """The time mark of 0.00 s; later ones follow in steps of `TIME_MARK_S`."""

    @property
    def end_of_text(self) -> int:
        """The first special token; every token below it is text."""

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of the text tokens among `tokens`."""

    def spelling(self, token: int) -> bytes:
        """Return the bytes of one text token: UTF-8, possibly only part of a character."""

    def split_words(self, tokens: Sequence[int], language: str) -> list[tuple[str, int]]:
        """Split text tokens into words; return the text and number of tokens of each, in order."""

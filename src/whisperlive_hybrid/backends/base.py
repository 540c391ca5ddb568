"""The interface between the engine and a model runtime: batches of blocking work.

A backend has no access to sockets, formats, sessions or queues. Every method takes a batch and
returns a list of the same length and order; an item is a result, or the exception that this item
alone has caused. If a method *raises*, the whole call has failed, and the engine repeats it item by
item. All times are on the clock of the item's window. Methods are called from several threads at
once, at most `Capabilities.workers` of them.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

from whisperlive_hybrid.errors import Unsupported
from whisperlive_hybrid.types import (
    CONTEXT_S,
    DEFAULT_BEAM_SIZE,
    DecodeOptions,
    Hypothesis,
    Language,
    Task,
    TokenTime,
    Vocabulary,
    Window,
)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The features and limits of a loaded model, to be read before a request is accepted."""

    model: str
    """The name in messages, metrics and the API; never a path."""
    backend: str
    device: str
    compute_type: str
    languages: frozenset[str]
    """Codes that may be requested; if there is only one, no language is detected."""
    tasks: frozenset[Task]
    word_times: bool
    prompts: bool
    """Whether `prompt` and `hotwords` are supported."""
    workers: int
    """The number of calls that may run at once."""
    encode_batch: int
    """Windows per encode call; larger batches are not faster."""
    generate_batch: int
    longest_window_s: float = CONTEXT_S
    """Seconds of speech that the model transcribes well in one window."""
    contexts_s: tuple[float, ...] = (CONTEXT_S,)
    """Encoder lengths in seconds that cost no accuracy, ascending; the last is the full one."""
    context_tail_s: float = 2.0
    """Seconds of silence that must follow the speech inside a shortened context."""
    short_context_languages: frozenset[str] | None = None
    """Languages in which shortened contexts cost no accuracy; None for all."""
    widest_beam: int | None = None
    """The largest beam size; None for any."""
    token_probabilities: bool = False
    """Whether `align` returns probabilities of tokens."""
    note: str = ""
    """A note for users, from the model's card."""
    file_batch: int | None = None
    """Windows of files per generate call, where more cost memory and time; None for as many as
    live ones."""

    def generate_limit(self, *, is_live: bool) -> int:
        """Return the largest number of windows in one generate call."""
        if is_live or self.file_batch is None:
            return self.generate_batch
        return min(self.generate_batch, self.file_batch)

    @property
    def full_context_s(self) -> float:
        """The longest encoder length, with which the model was trained."""
        return self.contexts_s[-1]

    def context_for(self, duration: float, language: str | None = None) -> float:
        """Return the shortest safe encoder length for `duration` seconds of speech.

        `language` is None until it has been detected.
        """
        allowed = self.short_context_languages
        if allowed is not None and language not in allowed:
            return self.full_context_s
        return self.detection_context_for(duration)

    def detection_context_for(self, duration: float) -> float:
        """Return the encoder length for detecting the language of `duration` seconds of speech.

        It may be shorter than for text: short contexts cost text in some languages, but the
        language is detected equally well.
        """
        needed_s = duration + self.context_tail_s
        return next(
            (length for length in self.contexts_s if length >= needed_s), self.full_context_s
        )

    def check(self, options: DecodeOptions) -> None:
        """Raise `Unsupported` if the model cannot honour `options`."""
        for code in options.candidates:
            self._check_language(code, "languages")
        if options.language is not None:
            self._check_language(options.language, "language")
        if options.switch_threshold is not None and len(self.languages) == 1:
            raise Unsupported(
                f"Model {self.model!r} has one language, {min(self.languages)!r}; "
                "leave multilingual out, or name a multilingual model.",
                param="multilingual",
                code="unsupported_value",
            )
        if options.task not in self.tasks:
            raise Unsupported(f"Model {self.model!r} cannot {options.task.value}.", param="task")
        if options.words and not self.word_times:
            raise Unsupported(
                f"Backend {self.backend!r} measures no word times.",
                param="timestamp_granularities",
            )
        if options.token_probabilities and not self.token_probabilities:
            raise Unsupported(
                f"Backend {self.backend!r} gives no probabilities of tokens.", param="include"
            )
        # The default beam size is not a request: a backend may search less widely by itself.
        is_default = options.beam_size == DEFAULT_BEAM_SIZE
        if not is_default and self.widest_beam is not None and options.beam_size > self.widest_beam:
            raise Unsupported(
                f"Backend {self.backend!r} follows at most {self.widest_beam} hypotheses side by "
                f"side, not {options.beam_size}.",
                param="beam_size",
            )
        if (options.prompt or options.hotwords) and not self.prompts:
            raise Unsupported(f"Backend {self.backend!r} takes no prompt.", param="prompt")

    def _check_language(self, code: str, param: str) -> None:
        if code not in self.languages:
            raise Unsupported(
                f"Model {self.model!r} does not know the language {code!r}; "
                f"it knows: {', '.join(sorted(self.languages))}.",
                param=param,
                code="unsupported_value",
            )


class Encoded(Protocol):
    """The encoder's output for one window; only the backend that made it can use it."""

    @property
    def context_s(self) -> float:
        """The encoder length, in seconds, with which it was computed."""

    @property
    def seen_s(self) -> float:
        """The seconds that the decoder sees: `context_s` and the silent tail after it."""


@dataclass(frozen=True, slots=True, eq=False)
class Encode:
    """Request for the encoder output of a window, padded with silence to `context_s`."""

    window: Window
    context_s: float


@dataclass(frozen=True, slots=True, eq=False)
class DetectLanguage:
    """Request for the language that is spoken, among `candidates` if there are any."""

    encoded: Encoded
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Generate:
    """Request for a hypothesis; at temperature 0 from a beam search, else from samples."""

    encoded: Encoded
    language: Language
    options: DecodeOptions
    temperature: float


@dataclass(frozen=True, slots=True, eq=False)
class Align:
    """Request for the times of `tokens` (text only) in the first `duration` seconds.

    The result also has the probability of each token after those before it.
    """

    encoded: Encoded
    language: Language
    task: Task
    tokens: tuple[int, ...]
    duration: float


Work = Encode | DetectLanguage | Generate | Align


class Backend(Protocol):
    """A model runtime with one set of weights."""

    @property
    def capabilities(self) -> Capabilities:
        """The features and limits of the model."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The tokenizer of the model."""

    def batch_key(self, work: Work) -> Hashable:
        """Return the key of work that may share one call; it includes the kind of work."""

    def encode(self, batch: Sequence[Encode]) -> list[Encoded | Exception]:
        """Return the encoder output of each window."""

    def detect_language(self, batch: Sequence[DetectLanguage]) -> list[Language | Exception]:
        """Return the most probable language of each item, with its share among all languages."""

    def generate(self, batch: Sequence[Generate]) -> list[Hypothesis | Exception]:
        """Return a hypothesis for each item."""

    def align(self, batch: Sequence[Align]) -> list[list[TokenTime] | Exception]:
        """Return the times of every item's tokens."""

    def close(self) -> None:
        """Free the weights; no other method is called afterwards."""

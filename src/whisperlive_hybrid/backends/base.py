"""What the engine asks of a model runtime: batches of blocking work, and nothing else.

A backend knows nothing of sockets, formats, sessions or queues. Every method takes a batch and
answers in the same length and order, each item with a result or with the exception that befell it
alone; an exception that is *raised* condemns the whole call, and the engine then asks for the items
one by one. All times are on the clock of the item's window. Methods are called from several
threads at once, at most `Capabilities.workers` of them.
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
    """What a loaded model can do, as data: ask, don't try and catch."""

    model: str
    """The name by which people know it."""
    backend: str
    device: str
    compute_type: str
    languages: frozenset[str]
    """Codes that may be asked for; one alone means that there is nothing to detect."""
    tasks: frozenset[Task]
    word_times: bool
    prompts: bool
    """Whether `prompt` and `hotwords` are understood."""
    workers: int
    """How many calls may run at once."""
    encode_batch: int
    """Windows per encode call beyond which nothing is gained."""
    generate_batch: int
    longest_window_s: float = CONTEXT_S
    """Seconds of speech that the model reads well at once."""
    contexts_s: tuple[float, ...] = (CONTEXT_S,)
    """Encoder lengths that are safe for it, ascending; the last is the full one."""
    context_tail_s: float = 2.0
    """Silence that must follow the speech inside a shortened context."""
    short_context_languages: frozenset[str] | None = None
    """Languages in which shortened contexts are safe; None for all."""
    widest_beam: int | None = None
    """Hypotheses that it can follow side by side; None for any number."""
    token_probabilities: bool = False
    """Whether it can say how probable each token of a text is."""
    note: str = ""
    """What people must know about it, from its card."""
    file_batch: int | None = None
    """Windows of files per generate call, where more cost memory and time; None for as many
    as live ones."""

    def generate_limit(self, *, is_live: bool) -> int:
        """How many windows one generate call may hold."""
        if is_live or self.file_batch is None:
            return self.generate_batch
        return min(self.generate_batch, self.file_batch)

    @property
    def full_context_s(self) -> float:
        """The longest encoder length, the one the model was trained on."""
        return self.contexts_s[-1]

    def context_for(self, duration: float, language: str | None = None) -> float:
        """The shortest safe encoder length for `duration` seconds of speech in `language`.

        None stands for a language that is yet to be detected.
        """
        allowed = self.short_context_languages
        if allowed is not None and language not in allowed:
            return self.full_context_s
        return self.detection_context_for(duration)

    def detection_context_for(self, duration: float) -> float:
        """The encoder length in which the language of `duration` seconds of speech is detected.

        A shortened context costs text in some languages, but not the knowledge of which it is.
        """
        wanted = duration + self.context_tail_s
        return next((length for length in self.contexts_s if length >= wanted), self.full_context_s)

    def check(self, options: DecodeOptions) -> None:
        """Raise `Unsupported` if the model cannot honour `options`."""
        for code in options.candidates:
            self._check_language(code, "languages")
        if options.language is not None:
            self._check_language(options.language, "language")
        if options.switch_threshold is not None and len(self.languages) == 1:
            raise Unsupported(
                f"Model {self.model!r} knows one language, {min(self.languages)!r}; "
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
        if self._is_too_wide(options.beam_size):
            raise Unsupported(
                f"Backend {self.backend!r} follows at most {self.widest_beam} hypotheses side by "
                f"side, not {options.beam_size}.",
                param="beam_size",
            )
        if (options.prompt or options.hotwords) and not self.prompts:
            raise Unsupported(f"Backend {self.backend!r} takes no prompt.", param="prompt")

    def _is_too_wide(self, beam_size: int) -> bool:
        """Whether so wide a search was asked for on purpose, and cannot be had."""
        is_wish = beam_size != DEFAULT_BEAM_SIZE
        return is_wish and self.widest_beam is not None and beam_size > self.widest_beam

    def _check_language(self, code: str, param: str) -> None:
        if code not in self.languages:
            raise Unsupported(
                f"Model {self.model!r} does not know the language {code!r}; "
                f"it knows: {', '.join(sorted(self.languages))}.",
                param=param,
                code="unsupported_value",
            )


class Encoded(Protocol):
    """The encoder's output for one window; only the backend that made it can read it."""

    @property
    def context_s(self) -> float:
        """The encoder length that it was made with."""

    @property
    def seen_s(self) -> float:
        """The length that the decoder sees: `context_s`, and the silent tail behind it."""


@dataclass(frozen=True, slots=True, eq=False)
class Encode:
    """Ask for the encoder output of a window, padded with silence to `context_s`."""

    window: Window
    context_s: float


@dataclass(frozen=True, slots=True, eq=False)
class DetectLanguage:
    """Ask which language is spoken, or which of `candidates` if there are any."""

    encoded: Encoded
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Generate:
    """Ask for a hypothesis."""

    encoded: Encoded
    language: Language
    options: DecodeOptions
    temperature: float


@dataclass(frozen=True, slots=True, eq=False)
class Align:
    """Ask when each of `tokens` (text only) was heard in the first `duration` seconds.

    The answer also says how probable each was after those before it.
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
        """What it can do."""

    @property
    def vocabulary(self) -> Vocabulary:
        """How its tokens read."""

    def batch_key(self, work: Work) -> Hashable:
        """Work of equal keys may share one call; the kind of work is always part of it."""

    def encode(self, batch: Sequence[Encode]) -> list[Encoded | Exception]:
        """Run the encoder."""

    def detect_language(self, batch: Sequence[DetectLanguage]) -> list[Language | Exception]:
        """Name the most probable language of each, with its probability among all languages."""

    def generate(self, batch: Sequence[Generate]) -> list[Hypothesis | Exception]:
        """Write a hypothesis for each."""

    def align(self, batch: Sequence[Align]) -> list[list[TokenTime] | Exception]:
        """Find the time of every token."""

    def close(self) -> None:
        """Free the weights; nothing is called afterwards."""

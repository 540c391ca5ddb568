"""The way of one window through the model, as a state machine without a model.

Encode, detect the language if it is unknown, generate, judge, align if words or probabilities are
wanted. What is not believed is first read again with the full context, if a shorter one was used,
since a model may lose its footing in it; then hotter and hotter from the same encoder output. Each
method takes the result of the work asked for last and answers with the next work, or with the
reading.
"""

from whisperlive_hybrid.backends.base import (
    Align,
    Capabilities,
    DetectLanguage,
    Encode,
    Encoded,
    Generate,
    Work,
)
from whisperlive_hybrid.text.decoding import Candidate, Verdict, judge, least_bad, segments
from whisperlive_hybrid.text.language import told_language
from whisperlive_hybrid.text.words import text_tokens, with_probabilities, with_words
from whisperlive_hybrid.types import (
    DecodeOptions,
    Hypothesis,
    Language,
    Reading,
    Segment,
    TokenTime,
    Vocabulary,
    Window,
)


class ReadingJob:
    """Reads one window; used by one thread at a time."""

    def __init__(
        self,
        window: Window,
        options: DecodeOptions,
        capabilities: Capabilities,
        vocabulary: Vocabulary,
    ) -> None:
        self._window = window
        self._options = options
        self._capabilities = capabilities
        self._vocabulary = vocabulary
        self._language = told_language(options.language, capabilities.languages)
        self._temperatures = iter(options.temperatures)
        self._candidates: list[Candidate] = []
        self._segments: tuple[Segment, ...] = ()
        self._is_doubted = False
        self._context_s = capabilities.context_for(window.duration)

    @property
    def tries_short_context(self) -> bool:
        """Whether it must tell something in less context than the model was trained with."""
        return self._context_s < self._capabilities.full_context_s and not self._options.is_guess

    def first(self) -> Work:
        """The work to begin with."""
        return Encode(self._window, self._context_s)

    def encoded(self, _work: Encode, encoded: Encoded) -> Work | Reading:
        """The encoder output is there."""
        if self._language is None:
            return DetectLanguage(encoded, self._options.candidates)
        return self._generate(encoded, self._language)

    def detected(self, work: DetectLanguage, language: Language) -> Work | Reading:
        """The language is known."""
        self._language = language
        return self._generate(work.encoded, language)

    def generated(self, work: Generate, hypothesis: Hypothesis) -> Work | Reading:
        """A hypothesis is there: believe it, try hotter, or leave the window silent."""
        candidate = Candidate.of(hypothesis, self._vocabulary, self._window.duration)
        self._candidates.append(candidate)
        match judge(candidate, self._options.thresholds):
            case Verdict.SILENCE:
                return self._reading((), work.language)
            case Verdict.ACCEPT:
                return self._accept(work, candidate)
            case Verdict.RETRY:
                return self._retry(work)

    def aligned(self, work: Align, times: list[TokenTime]) -> Reading:
        """The tokens have their times and probabilities."""
        found, vocabulary = self._segments, self._vocabulary
        if self._options.token_probabilities:
            found = with_probabilities(found, times, vocabulary)
        if self._options.words:
            found = with_words(found, times, vocabulary, work.language.code)
        return self._reading(found, work.language)

    def _retry(self, failed: Generate) -> Work | Reading:
        self._is_doubted = True
        if self._options.is_guess:
            return self._reading((), failed.language)
        full = self._capabilities.full_context_s
        if failed.encoded.context_s < full:
            self._temperatures = iter(self._options.temperatures)
            return Encode(self._window, full)
        return self._generate(failed.encoded, failed.language, failed)

    def _generate(
        self, encoded: Encoded, language: Language, failed: Generate | None = None
    ) -> Work | Reading:
        temperature = next(self._temperatures, None)
        if temperature is not None:
            return Generate(encoded, language, self._options, temperature)
        if failed is None:
            return self._reading((), language)  # no temperature was allowed at all
        return self._accept(failed, least_bad(self._candidates, self._options.thresholds))

    def _accept(self, work: Generate, candidate: Candidate) -> Work | Reading:
        self._segments = segments(candidate, self._vocabulary, self._window.duration)
        tokens = tuple(
            token
            for segment in self._segments
            for token in text_tokens(segment.tokens, self._vocabulary)
        )
        if not (tokens and (self._options.words or self._options.token_probabilities)):
            return self._reading(self._segments, work.language)
        return Align(work.encoded, work.language, self._options.task, tokens, self._window.duration)

    def _reading(self, segments: tuple[Segment, ...], language: Language) -> Reading:
        return Reading(segments, language, self._is_doubted)

"""The way of one window through the model, as a state machine without a model.

Encode, detect the language if it is unknown, generate, judge, align if words or probabilities are
wanted. What is not believed is first read again with the full context, if a shorter one was used,
since a model may lose its footing in it; then hotter and hotter from the same encoder output. Each
method takes the result of the work asked for last and answers with the next work, or with the
reading.

A hypothesis may stop long before the speech in the window does. What it leaves is read as a window
of its own, from its last time mark on, and so on to the end of the speech. A stretch that stays
without text is tried hotter once, and then reported as unread.
"""

from dataclasses import replace
from typing import Final

from whisperlive_hybrid.backends.base import (
    Align,
    Capabilities,
    DetectLanguage,
    Encode,
    Encoded,
    Generate,
    Work,
)
from whisperlive_hybrid.text.decoding import (
    Candidate,
    Verdict,
    judge,
    least_bad,
    read_to,
    segments,
)
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

UNREAD_S: Final = 0.5
"""Speech behind the last time mark that is worth reading on; marks are early by less."""

LEAD_IN_S: Final = 0.2
"""Silence before the next stretch of speech that reading on begins with."""

SHORTEST_STEP_S: Final = 0.5
"""By so much a part must get on; else its model stands still, and reading on would never end."""


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
        self._is_doubted = False
        self._done: list[Segment] = []  # of the parts that are read, on the window clock
        self._unread: list[tuple[float, float]] = []
        self._begin_part(window, 0.0)

    def _begin_part(self, part: Window, start: float) -> None:
        """Read `part` next, which begins at a window time of `start`."""
        self._part = part
        self._part_start = start
        self._temperatures = iter(self._options.temperatures)
        self._candidates: list[Candidate] = []
        self._segments: tuple[Segment, ...] = ()
        self._read_to = 0.0
        self._was_empty = False
        language = self._language.code if self._language else None
        self._context_s = self._capabilities.context_for(part.duration, language)

    @property
    def tries_short_context(self) -> bool:
        """Whether it must tell something in less context than the model was trained with."""
        return self._context_s < self._capabilities.full_context_s and not self._options.is_guess

    def first(self) -> Work:
        """The work to begin with."""
        return Encode(self._part, self._context_s)

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
        candidate = Candidate.of(hypothesis, self._vocabulary, self._part.duration)
        self._candidates.append(candidate)
        match judge(candidate, self._options.thresholds):
            case Verdict.SILENCE:
                return self._end_part(work.language, self._part.duration)
            case Verdict.ACCEPT:
                return self._accept(work, candidate)
            case Verdict.RETRY:
                return self._retry(work)

    def aligned(self, work: Align, times: list[TokenTime]) -> Work | Reading:
        """The tokens have their times and probabilities."""
        found, vocabulary = self._segments, self._vocabulary
        if self._options.token_probabilities:
            found = with_probabilities(found, times, vocabulary)
        if self._options.words:
            found = with_words(found, times, vocabulary, work.language.code)
        self._segments = found
        return self._end_part(work.language, self._read_to)

    def _retry(self, failed: Generate) -> Work | Reading:
        self._is_doubted = True
        if self._options.is_guess:
            return self._end_part(failed.language, self._part.duration)
        full = self._capabilities.full_context_s
        if failed.encoded.context_s < full:
            self._temperatures = iter(self._options.temperatures)
            return Encode(self._part, full)
        return self._generate(failed.encoded, failed.language, failed)

    def _generate(
        self, encoded: Encoded, language: Language, failed: Generate | None = None
    ) -> Work | Reading:
        temperature = next(self._temperatures, None)
        if temperature is not None:
            return Generate(encoded, language, self._options, temperature)
        if failed is None:
            return self._end_part(language, 0.0)  # no temperature was allowed at all
        return self._accept(failed, least_bad(self._candidates, self._options.thresholds))

    def _accept(self, work: Generate, candidate: Candidate) -> Work | Reading:
        hypothesis, duration = candidate.hypothesis, self._part.duration
        self._segments = segments(candidate, self._vocabulary, duration)
        self._read_to = read_to(hypothesis.tokens, self._vocabulary, duration)
        if not self._segments and self._is_unread(0.0) and not self._was_empty:
            self._was_empty = True
            return self._generate(work.encoded, work.language, work)
        tokens = tuple(
            token
            for segment in self._segments
            for token in text_tokens(segment.tokens, self._vocabulary)
        )
        if not (tokens and (self._options.words or self._options.token_probabilities)):
            return self._end_part(work.language, self._read_to)
        return Align(work.encoded, work.language, self._options.task, tokens, duration)

    def _is_unread(self, time: float) -> bool:
        """Whether the detector found more speech behind a time of the part than marks may miss."""
        return sum(end - start for start, end in self._part.speech_after(time)) >= UNREAD_S

    def _end_part(self, language: Language, read_to: float) -> Work | Reading:
        """Keep the segments of this part; read on behind `read_to`, a time of the part."""
        offset = self._part_start
        self._done += (_moved(segment, offset) for segment in self._segments)
        if not self._segments:
            if self._is_unread(0.0):
                self._unread += ((s + offset, e + offset) for s, e in self._part.speech_after(0.0))
        elif self._is_unread(read_to) and not self._options.is_guess:
            [(next_speech, _), *_] = self._part.speech_after(read_to)
            begin = max(read_to, next_speech - LEAD_IN_S)
            if begin >= SHORTEST_STEP_S:
                self._begin_part(self._part.rest_from(begin), offset + begin)
                return Encode(self._part, self._context_s)
            self._unread += ((s + offset, e + offset) for s, e in self._part.speech_after(read_to))
        return Reading(tuple(self._done), language, self._is_doubted, tuple(self._unread))


def _moved(segment: Segment, offset: float) -> Segment:
    """A segment of a part, on the clock of the window."""
    if not offset:
        return segment
    words = segment.words and tuple(
        replace(word, start=word.start + offset, end=word.end + offset) for word in segment.words
    )
    start, end = segment.start + offset, segment.end + offset
    return replace(segment, start=start, end=end, words=words)

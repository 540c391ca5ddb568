"""Decoding of one window, as a state machine without a model.

Encode, detect the language if it is unknown, generate, judge, align if words or probabilities are
requested. A rejected hypothesis is first decoded again with the full context, if a shorter one was
used, since a model may fail in it; then at higher and higher temperatures from the same encoder
output. Each method takes the result of the last work and returns the next work, or the answer.

A hypothesis may stop long before the speech in the window does. The rest is decoded as a window of
its own, from the last time mark on, and so on to the end of the speech. A stretch that stays
without text is tried once at a higher temperature, and then reported as unread.

A hypothesis may also skip sentences in the middle, most often where the voice or the level changes.
A segment with too little text for the speech in it is decoded again, each stretch between its
pauses as a window of its own, and the longer text is kept.

Where a recording may have several languages, the language is detected in each stretch of the window
first; then the parts in one language are decoded, each as a window of its own.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Final

from whisperlive_hybrid.backends.base import (
    Align,
    Backend,
    Capabilities,
    DetectLanguage,
    Encode,
    Encoded,
    Generate,
    Work,
)
from whisperlive_hybrid.engine.job import ModelTask
from whisperlive_hybrid.text.hypotheses import (
    Candidate,
    Verdict,
    find_text_end,
    is_sparse,
    judge,
    pick_least_bad,
    split_segments,
)
from whisperlive_hybrid.text.language import is_switch, requested_language
from whisperlive_hybrid.text.stretches import LanguagePart, LanguageSurvey, Stretch
from whisperlive_hybrid.text.words import add_probabilities, add_words, text_tokens
from whisperlive_hybrid.types import (
    DecodeOptions,
    DecodeResult,
    Hypothesis,
    Language,
    Segment,
    TokenTime,
    Urgency,
    Vocabulary,
    Window,
)

UNREAD_S: Final = 0.5
"""Speech behind the last time mark that is worth decoding; marks are early by less."""

LEAD_IN_S: Final = 0.2
"""Silence kept before the next stretch of speech when decoding goes on."""

SHORTEST_STEP_S: Final = 0.5
"""A part must advance by so much; else the model makes no progress and decoding would never end."""


AGAIN_PAUSE_S: Final = 0.5
"""Pauses at which a segment with too little text is divided."""


@dataclass(slots=True)
class _Sparse:
    """A segment with too little text, and what its stretch gave when it was decoded in parts."""

    segment: Segment
    parts: list[tuple[float, float]]
    """Parts that are still to be decoded, in window times."""
    found: list[Segment] = field(default_factory=list)

    def better(self) -> list[Segment]:
        """Return the segments with more text."""
        n_found = sum(len(segment.tokens) for segment in self.found)
        return self.found if n_found > len(self.segment.tokens) else [self.segment]


class WindowDecoder:
    """Decodes one window, as a state machine without a model; used by one thread at a time."""

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
        self._language = requested_language(options.language, capabilities.languages)
        self._detected: Language | None = None
        self._is_to_detect = (
            self._language is None
            or options.checks_language
            or options.switch_threshold is not None
        )
        self._survey: LanguageSurvey | None = None  # where the window may have several languages
        self._stretch: Stretch = (0.0, 0.0)  # whose language is asked for
        if options.switch_threshold is not None and not options.is_guess:
            survey = LanguageSurvey(window, options.switch_threshold)
            self._survey = survey if len(survey.stretches) > 1 else None
        self._parts: deque[LanguagePart] = deque()  # that are to be read after this one
        self._first_language: Language | None = None
        self._is_doubted = False
        self._done: list[Segment] = []  # of the parts that are read, on the window clock
        self._unread: list[tuple[float, float]] = []
        self._sparse: list[_Sparse] = []
        self._sparse_one: _Sparse | None = None  # whose parts are being read
        self._begin_part(window, 0.0)

    def _begin_part(self, part: Window, start: float) -> Encode:
        """Decode `part` next, which begins at the window time `start`; return its first work."""
        self._part = part
        self._part_start = start
        self._temperatures = iter(self._options.temperatures)
        self._candidates: list[Candidate] = []
        self._segments: tuple[Segment, ...] = ()
        self._read_to = 0.0
        self._was_empty = False
        language = self._language.code if self._language else None
        self._context_s = self._capabilities.context_for(part.duration, language)
        return Encode(part, self._context_s)

    @property
    def tries_short_context(self) -> bool:
        """Whether it is decoded in less context than the model was trained with."""
        return self._context_s < self._capabilities.full_context_s and not self._options.is_guess

    def first(self) -> Work:
        """Return the work to begin with."""
        return (
            self._next_survey(self._survey) if self._survey else Encode(self._part, self._context_s)
        )

    def on_encoded(self, _work: Encode, encoded: Encoded) -> Work | DecodeResult:
        """Take the encoder output."""
        if self._language is None or self._is_to_detect:
            return DetectLanguage(encoded, self._options.candidates)
        return self._generate(encoded, self._language)

    def on_detected(self, work: DetectLanguage, language: Language) -> Work | DecodeResult:
        """Take the language of a stretch, or of the whole window."""
        if self._survey:
            self._survey.record(self._stretch, language)
            return self._next_survey(self._survey)
        self._is_to_detect, self._detected = False, language
        threshold = self._options.switch_threshold
        if self._language is None or (
            threshold is not None and is_switch(language, self._window, threshold)
        ):
            self._language = language
        # The context was one of the language that was expected; this one may need more of it.
        needed = self._capabilities.context_for(self._part.duration, self._language.code)
        if work.encoded.context_s < needed:
            self._context_s = needed
            return Encode(self._part, needed)
        return self._generate(work.encoded, self._language)

    def _next_survey(self, survey: LanguageSurvey) -> Work:
        """Detect the language of the next stretch; when all are known, begin to decode."""
        if stretch := survey.next():
            self._stretch = stretch
            window = self._window.part(*stretch)
            return Encode(window, self._capabilities.detection_context_for(window.duration))
        self._survey, self._is_to_detect = None, False
        self._parts.extend(survey.parts(self._language))
        self._detected = survey.likeliest
        return self._next_part()

    def _next_part(self) -> Work:
        """Begin to decode the next stretches that are in one language."""
        part = self._parts.popleft()
        self._language = part.language
        return self._begin_part(self._window.part(part.start, part.end), part.start)

    def on_generated(self, work: Generate, hypothesis: Hypothesis) -> Work | DecodeResult:
        """Take a hypothesis: accept it, retry, or leave the window silent."""
        candidate = Candidate.of(hypothesis, self._vocabulary, self._part.duration)
        self._candidates.append(candidate)
        match judge(candidate, self._options.thresholds):
            case Verdict.SILENCE:
                return self._end_part(work.language, self._part.duration)
            case Verdict.ACCEPT:
                return self._accept(work, candidate)
            case Verdict.RETRY:
                return self._retry(work)

    def on_aligned(self, work: Align, times: list[TokenTime]) -> Work | DecodeResult:
        """Take the times and probabilities of the tokens."""
        found, vocabulary = self._segments, self._vocabulary
        if self._options.token_probabilities:
            found = add_probabilities(found, times, vocabulary)
        if self._options.words:
            found = add_words(found, times, vocabulary, work.language.code, self._part.speech)
        self._segments = found
        return self._end_part(work.language, self._read_to)

    def _retry(self, failed: Generate) -> Work | DecodeResult:
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
    ) -> Work | DecodeResult:
        temperature = next(self._temperatures, None)
        if temperature is not None:
            return Generate(encoded, language, self._options, temperature)
        if failed is None:
            return self._end_part(language, 0.0)  # no temperature was allowed at all
        return self._accept(failed, pick_least_bad(self._candidates, self._options.thresholds))

    def _accept(self, work: Generate, candidate: Candidate) -> Work | DecodeResult:
        hypothesis, duration = candidate.hypothesis, self._part.duration
        self._segments = split_segments(candidate, self._vocabulary, duration)
        self._read_to = find_text_end(hypothesis.tokens, self._vocabulary, duration)
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
        """Whether there is more speech behind a time of the part than marks may miss."""
        return sum(end - start for start, end in self._part.speech_after(time)) >= UNREAD_S

    def _next_start(self, time: float) -> float:
        """Return where to go on behind a time of the part: a little before the next speech."""
        [(next_speech, _), *_] = self._part.speech_after(time)
        return max(time, next_speech - LEAD_IN_S)

    def _read_on(self, time: float) -> Encode:
        """Decode what is behind a time of the part as a window of its own."""
        begin = self._next_start(time)
        return self._begin_part(self._part.rest_from(begin), self._part_start + begin)

    def _leave_unread(self, time: float) -> None:
        """Report the speech behind a time of the part as unread."""
        offset = self._part_start
        self._unread += ((s + offset, e + offset) for s, e in self._part.speech_after(time))

    def _end_part(self, language: Language, read_to: float) -> Work | DecodeResult:
        """Keep the segments of this part; go on behind `read_to`, a time of the part."""
        self._first_language = self._first_language or language
        if self._options.switch_threshold is not None:
            self._segments = tuple(replace(each, language=language.code) for each in self._segments)
        found = [_shift(segment, self._part_start) for segment in self._segments]
        if self._sparse_one:
            is_believed = len(self._candidates) == 1
            return self._read_again(language, found if is_believed else [])
        self._done += found
        if not self._segments:
            if self._is_unread(0.0):
                self._leave_unread(0.0)
        elif self._is_unread(read_to) and not self._options.is_guess:
            if self._next_start(read_to) >= SHORTEST_STEP_S:
                return self._read_on(read_to)
            self._leave_unread(read_to)
        if self._parts:
            return self._next_part()
        if not self._options.is_guess:
            self._sparse = self._find_sparse()
        return self._read_again(language, [])

    def _find_sparse(self) -> list[_Sparse]:
        """Return the segments with too little text for the speech up to the next one."""
        sparse: list[_Sparse] = []
        behind = [segment.start for segment in self._done[1:]]
        for segment, end in zip(self._done, [*behind, self._window.duration], strict=False):
            speech = self._window.speech_in(segment.start, end)
            n_tokens = len(text_tokens(segment.tokens, self._vocabulary))
            if is_sparse(n_tokens, sum(b - a for a, b in speech)):
                parts = _between_pauses(speech, segment.start, end)
                if len(parts) > 1:
                    sparse.append(_Sparse(segment, parts))
        return sparse

    def _read_again(self, language: Language, found: Sequence[Segment]) -> Work | DecodeResult:
        """Keep what was `found` in a part of a sparse segment; decode the next part, or end."""
        if self._sparse_one:
            self._sparse_one.found += found
        for sparse in self._sparse:
            if sparse.parts:
                self._sparse_one = sparse
                start, end = sparse.parts.pop(0)
                if sparse.segment.language:  # another part may have been read since, in another one
                    self._language = Language(sparse.segment.language, 1.0)
                return self._begin_part(self._window.part(start, end), start)
        better = {id(sparse.segment): sparse.better() for sparse in self._sparse}
        segments = [each for one in self._done for each in better.get(id(one), [one])]
        first = self._first_language or language
        return DecodeResult(
            tuple(segments), first, self._is_doubted, tuple(self._unread), self._detected
        )


def _between_pauses(
    speech: Sequence[tuple[float, float]], start: float, end: float
) -> list[tuple[float, float]]:
    """Divide [start, end) in the middle of its longer pauses."""
    cuts = [(a + b) / 2 for (_, a), (b, _) in pairwise(speech) if b - a >= AGAIN_PAUSE_S]
    return list(pairwise([start, *cuts, end]))


def _shift(segment: Segment, offset: float) -> Segment:
    """Return a segment of a part on the clock of the window."""
    if not offset:
        return segment
    words = segment.words and tuple(
        replace(word, start=word.start + offset, end=word.end + offset) for word in segment.words
    )
    start, end = segment.start + offset, segment.end + offset
    return replace(segment, start=start, end=end, words=words)


GATHERING_S: Final = {
    Urgency.FINAL: 0.1,
    Urgency.UPDATE: 0.3,
    Urgency.SHORT_FILE: 1.0,
    Urgency.BULK: 5.0,
}
"""How long a generate may wait for company while there are encodes to run, in seconds."""


class DecodeJob:
    """Decodes one window with the model of a backend: the `EngineJob` of a `WindowDecoder`."""

    def __init__(
        self, backend: Backend, window: Window, options: DecodeOptions, urgency: Urgency
    ) -> None:
        """Raise `Unsupported` for options that the model cannot honour."""
        capabilities = backend.capabilities
        capabilities.check(options)
        self._backend = backend
        self._decoder = WindowDecoder(window, options, capabilities, backend.vocabulary)
        self._urgency = urgency

    @property
    def tries_short_context(self) -> bool:
        """Whether the window is decoded in less context than the model was trained with."""
        return self._decoder.tries_short_context

    def first(self) -> ModelTask:
        """Return the first task, an encode."""
        return self._task(self._decoder.first())

    def advance(self, done: ModelTask, result: Any) -> ModelTask | DecodeResult:  # noqa: ANN401 (see `EngineJob`)
        """Give the decoder its result; return what it wants next, or its answer."""
        match done.work:
            case Encode() as work:
                wanted = self._decoder.on_encoded(work, result)
            case DetectLanguage() as work:
                wanted = self._decoder.on_detected(work, result)
            case Generate() as work:
                wanted = self._decoder.on_generated(work, result)
            case work:
                wanted = self._decoder.on_aligned(work, result)
        return wanted if isinstance(wanted, DecodeResult) else self._task(wanted)

    def _task(self, work: Work) -> ModelTask:
        backend, capabilities = self._backend, self._backend.capabilities
        model, key = capabilities.model, backend.batch_key(work)
        limit = capabilities.generate_limit(is_live=self._urgency.is_live)
        match work:
            case Encode():
                limit = capabilities.encode_batch
                return ModelTask(work, model, "encode", backend.encode, key, limit)
            case DetectLanguage():
                return ModelTask(
                    work, model, "detect_language", backend.detect_language, key, limit
                )
            case Generate():
                gathers_s = GATHERING_S[self._urgency]
                return ModelTask(work, model, "generate", backend.generate, key, limit, gathers_s)
            case Align():
                return ModelTask(work, model, "align", backend.align, key, limit)

"""Write the tokens that a decoder should give for a recording, and where it should attend."""

import random
from collections.abc import Iterable
from dataclasses import dataclass

from demo_speech.grammar import LANGUAGES, Language
from demo_speech.word_times import Span
from tokenizers import Tokenizer

from demo_model.pool import Pool
from demo_model.tokenizer import Vocabulary
from demo_model.track import Placed, Track

NO_TARGET = -1
PUNCTUATION = -1  # the word index of a sentence's last mark
MAX_PROMPT = 223  # tokens, as in decoding: half of the 448 positions, less one for the mark


@dataclass(frozen=True, slots=True)
class Position:
    """A position of the decoder: token in, token out (or `NO_TARGET`), interval to attend to."""

    token: int
    target: int = NO_TARGET
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Script:
    """The positions of one clip, and whether they translate it."""

    positions: tuple[Position, ...]
    is_translation: bool


@dataclass(frozen=True, slots=True)
class _Target:
    """A token to write, and the interval where it is spoken."""

    token: int
    span: Span | None = None


class ScriptWriter:
    """Draws a task and a form for each recording and writes its script."""

    def __init__(self, pool: Pool, tokenizer: Tokenizer, rng: random.Random) -> None:
        self.vocabulary = Vocabulary.of(tokenizer)
        self._pool = pool
        self._tokenizer = tokenizer
        self._rng = rng
        self._encoded: dict[str, tuple[list[int], list[int]]] = {}

    def write(self, track: Track, *, long_prompts: bool) -> Script:
        """Write the script of a recording; one without sentences has no speech in it."""
        rng, language = self._rng, track.language
        translates = rng.random() < (0.04 if language == "en" else 0.28)
        translates = translates and not any(placed.partial_text for placed in track.placed)
        timed = rng.random() < 0.62
        prompt: list[int] = []
        if rng.random() < 0.15:
            written = "en" if translates else language
            prompt = self._draw_prompt(written, timed=timed, may_be_long=long_prompts)
        positions = [Position(token) for token in prompt]
        positions += self._write_start(track)
        targets = self._write_targets(track, translates=translates, timed=timed)
        task = self.vocabulary.translate if translates else self.vocabulary.transcribe
        before = task
        if not timed:
            positions.append(Position(task))
            before = self.vocabulary.no_timestamps
        for target in targets:
            positions.append(Position(before, target.token, target.span))
            before = target.token
        return Script(tuple(positions), translates)

    def _write_start(self, track: Track) -> list[Position]:
        """Write the start of the transcript, where language and absence of speech are learnt."""
        vocabulary = self.vocabulary
        language = vocabulary.languages[LANGUAGES.index(track.language)]
        if track.placed:
            return [Position(vocabulary.start, language), Position(language)]
        guessed = self._rng.choice(vocabulary.languages)
        return [Position(vocabulary.start, vocabulary.no_speech), Position(guessed)]

    def _draw_prompt(self, language: Language, *, timed: bool, may_be_long: bool) -> list[int]:
        """Draw previous text: sentences unrelated to the recording."""
        rng = self._rng
        count = 1 if rng.random() < 0.6 else rng.randint(2, 5)
        if may_be_long and rng.random() < 0.3:
            count = rng.randint(6, 26)
        tokens: list[int] = []
        for _ in range(count):
            utterance = rng.choice(self._pool.utterances)
            sentence = self._encode(utterance.sentence.text(language))[0]
            if rng.random() < 0.03:
                sentence = [rng.randrange(self.vocabulary.end) for _ in sentence]
            if timed and count > 1:
                start = self.vocabulary.first_time_mark + rng.randrange(1400)
                sentence = [start, *sentence, start + rng.randint(40, 100)]
            tokens += sentence
        return [self.vocabulary.previous, *tokens[-MAX_PROMPT:]]

    def _write_targets(self, track: Track, *, translates: bool, timed: bool) -> list[_Target]:
        """Write the tokens after the task token."""
        vocabulary = self.vocabulary
        targets: list[_Target] = []
        if not track.placed and timed:
            targets.append(_Target(vocabulary.first_time_mark))
        for placed in track.placed:
            words = self._write_sentence(placed, track.language, translates=translates)
            targets += self._add_times(placed, words, is_first=not targets) if timed else words
        if track.cut_off and timed:
            start = track.cut_off.start
            targets.append(_Target(vocabulary.time_mark(start), _around_start(start)))
        if track.cut_off and not timed:
            # Without time marks the model cannot show that a sentence is cut: no loss for the end.
            return [*targets, _Target(NO_TARGET)]
        return [*targets, _Target(vocabulary.end)]

    def _add_times(
        self, placed: Placed, words: Iterable[_Target], *, is_first: bool
    ) -> list[_Target]:
        """Put time marks around a sentence; decoders allow no first mark beyond 1.00 s."""
        start, end = placed.start, placed.end
        written_start = min(start, 1.0) if is_first else start
        return [
            _Target(self.vocabulary.time_mark(written_start), _around_start(start)),
            *words,
            _Target(self.vocabulary.time_mark(end), Span(end - 0.12, end + 0.08)),
        ]

    def _write_sentence(
        self, placed: Placed, language: Language, *, translates: bool
    ) -> list[_Target]:
        """Write the words of a sentence; a translated word may attend to all of it."""
        written = "en" if translates else language
        tokens, words = self._encode(placed.partial_text or placed.sentence.text(written))
        if translates and language != "en":
            return [_Target(token, Span(placed.start, placed.end)) for token in tokens]
        return [
            _Target(token, _word_span(placed, word))
            for token, word in zip(tokens, words, strict=True)
        ]

    def _encode(self, text: str) -> tuple[list[int], list[int]]:
        """Return the tokens and the index of the word that each belongs to, or `PUNCTUATION`."""
        if text not in self._encoded:
            tokens: list[int] = []
            words: list[int] = []
            for index, word in enumerate(text.split(" ")):
                encoded = self._tokenizer.encode(" " + word).ids
                tokens += encoded
                words += [index] * len(encoded)
            if text[-1] in ".?":
                words[-1] = PUNCTUATION
            self._encoded[text] = (tokens, words)
        return self._encoded[text]


def _around_start(start: float) -> Span:
    return Span(start - 0.06, start + 0.12)


def _word_span(placed: Placed, word: int) -> Span:
    if word == PUNCTUATION:
        return Span(placed.end - 0.12, placed.end + 0.2)
    start, end = placed.word_times[word]
    return Span(placed.start + start - 0.03, placed.start + end + 0.03)

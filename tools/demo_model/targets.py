"""Write down what a decoder should say about a recording, and where it should listen meanwhile."""

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
PUNCTUATION = -1  # stands for the word index of a sentence's last mark
MAX_PROMPT = 223  # tokens, as in decoding: half of the 448 positions, less one for the mark


@dataclass(frozen=True, slots=True)
class Position:
    """One place of the decoder: token in, token out (or `NO_TARGET`), and where to attend (s)."""

    token: int
    target: int = NO_TARGET
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Script:
    """The positions of one clip, and whether they translate it."""

    positions: tuple[Position, ...]
    is_translation: bool


@dataclass(frozen=True, slots=True)
class _Said:
    """One token to be said, and where it is heard."""

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
            prompt = self._prompt(written, timed=timed, may_be_long=long_prompts)
        positions = [Position(token) for token in prompt]
        positions += self._opening(track)
        said = self._said(track, translates=translates, timed=timed)
        task = self.vocabulary.translate if translates else self.vocabulary.transcribe
        before = task
        if not timed:
            positions.append(Position(task))
            before = self.vocabulary.no_timestamps
        for item in said:
            positions.append(Position(before, item.token, item.span))
            before = item.token
        return Script(tuple(positions), translates)

    def _opening(self, track: Track) -> list[Position]:
        """Write the start of the transcript, where language and absence of speech are learnt."""
        vocabulary = self.vocabulary
        language = vocabulary.languages[LANGUAGES.index(track.language)]
        if track.placed:
            return [Position(vocabulary.start, language), Position(language)]
        guessed = self._rng.choice(vocabulary.languages)
        return [Position(vocabulary.start, vocabulary.no_speech), Position(guessed)]

    def _prompt(self, language: Language, *, timed: bool, may_be_long: bool) -> list[int]:
        """Draw previous text: sentences that have nothing to do with the recording."""
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

    def _said(self, track: Track, *, translates: bool, timed: bool) -> list[_Said]:
        """Return all that follows the task token."""
        vocabulary = self.vocabulary
        said: list[_Said] = []
        if not track.placed and timed:
            said.append(_Said(vocabulary.first_time_mark))
        for placed in track.placed:
            words = self._sentence(placed, track.language, translates=translates)
            said += self._timed(placed, words, is_first=not said) if timed else words
        if track.cut_off and timed:
            start = track.cut_off.start
            said.append(_Said(vocabulary.time_mark(start), _around_start(start)))
        if track.cut_off and not timed:
            # Nothing says that a sentence was cut and stays unwritten: no loss on ending here.
            return [*said, _Said(NO_TARGET)]
        return [*said, _Said(vocabulary.end)]

    def _timed(self, placed: Placed, words: Iterable[_Said], *, is_first: bool) -> list[_Said]:
        """Set time marks around a sentence; decoders allow the first none beyond 1.00 s."""
        start, end = placed.start, placed.end
        written_start = min(start, 1.0) if is_first else start
        return [
            _Said(self.vocabulary.time_mark(written_start), _around_start(start)),
            *words,
            _Said(self.vocabulary.time_mark(end), Span(end - 0.12, end + 0.08)),
        ]

    def _sentence(self, placed: Placed, language: Language, *, translates: bool) -> list[_Said]:
        """Write the sentence; a translated word is heard anywhere in it."""
        written = "en" if translates else language
        tokens, words = self._encode(placed.partial_text or placed.sentence.text(written))
        if translates and language != "en":
            return [_Said(token, Span(placed.start, placed.end)) for token in tokens]
        return [
            _Said(token, _word_span(placed, word))
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

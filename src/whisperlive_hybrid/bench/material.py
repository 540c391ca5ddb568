"""What a stream says: sentences of one language with pauses, and when each word has been said."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from whisperlive_hybrid.bench.clips import Clip, read_manifest, read_samples
from whisperlive_hybrid.bench.delays import Reference, SpokenWord
from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.types import SAMPLE_RATE, Samples

SHORTEST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 1.2
"""Between sentences, as in read speech. Over the shorter pauses no endpoint falls."""

LONG_PAUSE_S: Final = (2.5, 4.0)
LONG_PAUSE_EVERY: Final = 8
"""One pause in so many is long: that is where servers invent words."""

ENDS_SPEECH_S: Final = 1.0
"""A pause from which on the word before it ends speech. Endpoints wait up to so long, so that a
shorter pause does not show whether the speaker had finished."""

SILENCE_S: Final = 2.0
"""A pause in which a word would be invented (the measure of the field)."""

TAIL_S: Final = 1.5
"""Least silence after the last sentence: its final comes live, not at the end of audio."""

NOISE: Final = 5e-4
"""Root mean square of the noise floor, -66 dB: microphones are never digitally silent."""


@dataclass(frozen=True, slots=True, eq=False)
class Sentence:
    """One spoken sentence, cut to its sound: (n,) float32, and each word with its end in s."""

    samples: Samples
    words: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """The audio of one stream, (n,) float32 at 16 kHz, and what is said in it."""

    samples: Samples
    language: str
    reference: Reference

    @property
    def duration(self) -> float:
        """Seconds of audio."""
        return len(self.samples) / SAMPLE_RATE


class Library:
    """The sentences of a folder of clips, by language."""

    def __init__(self, sentences: dict[str, list[Sentence]]) -> None:
        self._sentences = sentences

    @classmethod
    def read(cls, folder: Path, languages: Sequence[str] = ()) -> "Library":
        """Read the clips of one sentence; of all languages, or of some.

        Raises `BadRequest` where there are none.
        """
        sentences: dict[str, list[Sentence]] = {}
        for clip in read_manifest(folder):
            is_wanted = not languages or clip.language in languages
            if clip.language and is_wanted and len(clip.sentences) == 1:
                spoken = _sentence(clip, read_samples(folder / clip.file))
                sentences.setdefault(clip.language, []).append(spoken)
        if not sentences:
            wanted = ", ".join(languages) or "any language"
            raise BadRequest(f"--clips {folder.name!r} has no clip of one sentence in {wanted}.")
        return cls(sentences)

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that can be spoken."""
        return tuple(self._sentences)

    def material(
        self, stream: int, seconds: float, seed: int, shortest_pause: float = SHORTEST_PAUSE_S
    ) -> Material:
        """Compose what one stream says; the same numbers always give the same audio.

        Streams speak the languages in turn. `seconds` is the length of the audio.
        """
        language = self.languages[stream % len(self.languages)]
        rng = random.Random(f"{seed}/{stream}")
        return compose(self._endless(language, rng), rng, language, seconds, shortest_pause)

    def _endless(self, language: str, rng: random.Random) -> Iterable[Sentence]:
        """All sentences in random order, again and again."""
        while True:
            yield from rng.sample(self._sentences[language], len(self._sentences[language]))


def compose(
    sentences: Iterable[Sentence],
    rng: random.Random,
    language: str,
    seconds: float,
    shortest_pause: float = SHORTEST_PAUSE_S,
) -> Material:
    """Place sentences one behind the other, with pauses, as long as they fit."""
    sound = np.random.default_rng(rng.getrandbits(32)).normal(
        0, NOISE, round(seconds * SAMPLE_RATE)
    )
    samples = sound.astype(np.float32)
    placed: list[tuple[int, Sentence]] = []
    position = 0
    for sentence in sentences:
        start = position + round(_pause(rng, shortest_pause) * SAMPLE_RATE)
        position = start + len(sentence.samples)
        if position > len(samples) - TAIL_S * SAMPLE_RATE:
            break
        samples[start:position] += sentence.samples
        placed.append((start, sentence))
    return Material(samples, language, _reference(placed, len(samples)))


def _pause(rng: random.Random, shortest: float) -> float:
    is_long = rng.randrange(LONG_PAUSE_EVERY) == 0
    usual = (shortest, max(shortest, LONGEST_PAUSE_S))
    return rng.uniform(*(LONG_PAUSE_S if is_long else usual))


def _reference(placed: Sequence[tuple[int, Sentence]], length: int) -> Reference:
    """The words on the stream's clock; `length` and places in samples."""
    words: list[SpokenWord] = []
    silences: list[tuple[float, float]] = []
    before = 0
    following = [*(start for start, _ in placed), length]
    for (start, sentence), after in zip(placed, following[1:], strict=True):
        silences.append((before / SAMPLE_RATE, start / SAMPLE_RATE))
        before = start + len(sentence.samples)
        has_finished = after - before >= ENDS_SPEECH_S * SAMPLE_RATE
        for place, (text, end) in enumerate(sentence.words, 1):
            is_last = has_finished and place == len(sentence.words)
            words.append(SpokenWord(text, start / SAMPLE_RATE + end, is_last))
    silences.append((before / SAMPLE_RATE, length / SAMPLE_RATE))
    long = tuple(silence for silence in silences if silence[1] - silence[0] >= SILENCE_S)
    return Reference(tuple(words), long)


def _sentence(clip: Clip, samples: Samples) -> Sentence:
    """Cut a clip to its one sentence."""
    start, end = clip.sentences[0]
    first, after = round(start * SAMPLE_RATE), round(end * SAMPLE_RATE)
    words = tuple((word, word_end - start) for word, word_end in clip.words)
    return Sentence(samples[first:after], words)

"""The pool: a file of spoken single sentences, from which clips are composed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from demo_speech.grammar import LANGUAGES, Language, Sentence
from numpy.typing import NDArray

SAMPLE_RATE = 16000
FIRST_FLITE_VOICE = 10  # voice numbers below are espeak-ng's


@dataclass(frozen=True, slots=True)
class Utterance:
    """One spoken sentence, trimmed.

    `samples` is (n,) int16 at 16 kHz and may have a little padding after `end` (s). `words` is
    (w, 2) float32: start and end of each space-separated word in s. `phones` is (p, 2) float32:
    start in s and number; 0 is a pause.
    """

    samples: NDArray[np.int16]
    language: Language
    voice: int
    sentence: Sentence
    end: float
    words: NDArray[np.float32]
    phones: NDArray[np.float32]

    @property
    def text(self) -> str:
        """The spoken text."""
        return self.sentence.text(self.language)

    @property
    def sound(self) -> NDArray[np.float32]:
        """The samples as (n,) float32 in [-1, 1)."""
        return self.samples.astype(np.float32) / np.float32(32768)


def write(path: Path, utterances: Sequence[Utterance]) -> None:
    """Write a pool file: concatenated arrays of all utterances, with their lengths.

    `meta` has one row an utterance: offset and length in samples, language, voice, sentence, end
    in ms.
    """
    lengths = [len(utterance.samples) for utterance in utterances]
    offsets = np.cumsum([0, *lengths[:-1]])
    meta = [
        (offset, length, LANGUAGES.index(said.language), said.voice, row, round(said.end * 1000))
        for row, (offset, length, said) in enumerate(zip(offsets, lengths, utterances, strict=True))
    ]
    np.savez(
        path,
        wav=np.concatenate([said.samples for said in utterances]),
        meta=np.array(meta),
        words=np.concatenate([said.words for said in utterances]),
        nwords=np.array([len(said.words) for said in utterances]),
        phon=np.concatenate([said.phones for said in utterances]),
        nphon=np.array([len(said.phones) for said in utterances]),
        sents=np.array([said.sentence.texts for said in utterances]),
    )


def read(path: Path) -> list[Utterance]:
    """Read a pool file."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    words = np.split(arrays["words"], np.cumsum(arrays["nwords"])[:-1])
    phones = np.split(arrays["phon"], np.cumsum(arrays["nphon"])[:-1])
    utterances = []
    for row, (offset, length, language, voice, sentence, end_ms) in enumerate(arrays["meta"]):
        utterance = Utterance(
            samples=arrays["wav"][offset : offset + length],
            language=LANGUAGES[language],
            voice=int(voice),
            sentence=Sentence(*map(str, arrays["sents"][sentence])),
            end=int(end_ms) / 1000,
            words=words[row],
            phones=phones[row],
        )
        utterances.append(utterance)
    return utterances


class Pool:
    """Utterances to draw from, by language and voice."""

    def __init__(self, utterances: Iterable[Utterance]) -> None:
        self.utterances = tuple(utterances)
        self._by_voice: dict[tuple[Language, int], list[Utterance]] = {}
        for utterance in self.utterances:
            key = (utterance.language, utterance.voice)
            self._by_voice.setdefault(key, []).append(utterance)

    @classmethod
    def load(cls, paths: Iterable[Path]) -> "Pool":
        """Read the pool files in order."""
        return cls(utterance for path in paths for utterance in read(path))

    def voices(self, language: Language) -> list[int]:
        """Return the voices to draw from, espeak-ng's twice so that they are drawn more often."""
        return [
            voice
            for spoken, voice in self._by_voice
            if spoken == language
            for _ in range(1 if voice >= FIRST_FLITE_VOICE else 2)
        ]

    def by_voice(self, language: Language, voice: int) -> Sequence[Utterance]:
        """Return the utterances of a voice in a language."""
        return self._by_voice.get((language, voice), ())

    def in_language(self, language: Language) -> list[Utterance]:
        """Return the utterances of all voices in a language, in the order of the files."""
        return [utterance for utterance in self.utterances if utterance.language == language]

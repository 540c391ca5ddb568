"""Speak the test clips: single sentences and groups with pauses in three languages, and no speech.

    python -m demo_model.make_clips OUT_DIR

Every sentence is one that training never used (grammar.is_held_out). manifest.json names for each
clip: file, language, text, English text, words with their end times in s, spans of the sentences
in s. Clips are 16 kHz mono FLAC.
"""

import argparse
import json
import random
from dataclasses import asdict, dataclass
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import resample_poly

from demo_model import espeak, grammar
from demo_model.espeak import Espeak
from demo_model.grammar import LANGUAGES, Language
from demo_model.pool import SAMPLE_RATE

SEED = 7
VOICES: dict[Language, tuple[str, ...]] = {
    "en": ("en-us", "en", "en-us+m3"),
    "de": ("de", "de+m3"),
    "es": ("es", "es+m3"),
}
LEAD = 0.3  # s of silence before the first sentence
SINGLES, GROUPS, GROUP_SIZE = 8, 2, 4  # in each language
EMPTY_S = 10


@dataclass(frozen=True, slots=True)
class Entry:
    """One clip in the manifest; times in s. A clip without speech has no language."""

    file: str
    language: Language | None = None
    text: str = ""
    english: str = ""
    words: tuple[tuple[str, float], ...] = ()
    sentences: tuple[tuple[float, float], ...] = ()


class ClipSpeaker:
    """Draws held-out sentences and speaks them into clips."""

    def __init__(self, library: Espeak, rng: random.Random) -> None:
        self._library = library
        self._rng = rng

    def speak(
        self, name: str, language: Language, sentences: int
    ) -> tuple[NDArray[np.float32], Entry]:
        """Return a clip, (n,) float32 at 16 kHz, and its entry."""
        voice = self._rng.choice(VOICES[language])
        parts = [np.zeros(int(LEAD * SAMPLE_RATE), np.float32)]
        said: list[grammar.Sentence] = []
        words: list[tuple[str, float]] = []
        spans: list[tuple[float, float]] = []
        position = LEAD
        for _ in range(sentences):
            sentence = grammar.draw_from(self._rng, held_out=True)
            text = sentence.text(language)
            sound, ends = self._utter(text, voice)
            gap = int(self._rng.uniform(0.5, 0.9) * SAMPLE_RATE)
            duration = len(sound) / SAMPLE_RATE
            for word, end in zip(text.split(), ends, strict=True):
                words.append((word, round(position + end, 3)))
            spans.append((round(position, 3), round(position + duration, 3)))
            said.append(sentence)
            parts += [sound, np.zeros(gap, np.float32)]
            position += duration + gap / SAMPLE_RATE
        entry = Entry(
            file=f"{name}.flac",
            language=language,
            text=" ".join(sentence.text(language) for sentence in said),
            english=" ".join(sentence.en for sentence in said),
            words=tuple(words),
            sentences=tuple(spans),
        )
        return np.concatenate(parts), entry

    def _utter(self, text: str, voice: str) -> tuple[NDArray[np.float32], list[float]]:
        """Return one sentence at 16 kHz and the end of each word: where the next one begins."""
        speech = self._library.speak(text, voice, words_per_minute=150)
        last = int(np.nonzero(np.abs(speech.samples) > 1e-3)[0][-1])
        samples = speech.samples[: last + 200]
        common = gcd(espeak.SAMPLE_RATE, SAMPLE_RATE)
        resampled = resample_poly(samples, SAMPLE_RATE // common, espeak.SAMPLE_RATE // common)
        count = len(text.split())
        starts = [mark.start for mark in speech.words][:count]
        starts.append(len(samples) / espeak.SAMPLE_RATE)
        ends = [starts[min(word + 1, len(starts) - 1)] for word in range(count)]
        return 0.6 * resampled.astype(np.float32), ends


def spoken_clips(speaker: ClipSpeaker) -> list[tuple[NDArray[np.float32], Entry]]:
    """Return the single sentences and groups of every language."""
    singles = [(f"{index}", 1) for index in range(SINGLES)]
    groups = [(f"long-{index}", GROUP_SIZE) for index in range(GROUPS)]
    return [
        speaker.speak(f"{language}-{name}", language, sentences)
        for language in LANGUAGES
        for name, sentences in singles + groups
    ]


def empty_clips() -> list[tuple[NDArray[np.float32], Entry]]:
    """Return silence and white noise."""
    count = EMPTY_S * SAMPLE_RATE
    noise = 0.02 * np.random.default_rng(SEED).standard_normal(count)
    return [
        (np.zeros(count, np.float32), Entry("silence.flac")),
        (noise.astype(np.float32), Entry("noise.flac")),
    ]


def main() -> None:
    """Write the clips and their manifest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, metavar="OUT_DIR")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    clips = spoken_clips(ClipSpeaker(Espeak.open(), random.Random(SEED))) + empty_clips()
    for samples, entry in clips:
        soundfile.write(arguments.out / entry.file, samples, SAMPLE_RATE)
    manifest = json.dumps([asdict(entry) for _, entry in clips], ensure_ascii=False, indent=1)
    (arguments.out / "manifest.json").write_text(manifest, encoding="utf-8")


if __name__ == "__main__":
    main()

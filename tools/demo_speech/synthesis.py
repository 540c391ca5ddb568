"""Speak sentences of the demo model's grammar into clips, with espeak-ng."""

import random
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Final

import numpy as np
from demo_speech import grammar
from demo_speech.espeak import SAMPLE_RATE as ESPEAK_RATE
from demo_speech.espeak import Espeak, to_16_khz
from demo_speech.grammar import LANGUAGES, Language
from demo_speech.word_times import spans_from_marks

from whisperlive_hybrid.bench.corpus import Clip, write_manifest, write_samples
from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.types import SAMPLE_RATE, Samples

VOICES: Final[dict[Language, tuple[str, ...]]] = {
    "en": ("en-us", "en", "en-us+m3"),
    "de": ("de", "de+m3"),
    "es": ("es", "es+m3"),
}
WORDS_PER_MINUTE: Final = 150

LEAD_S: Final = 0.3
"""Silence before the first sentence."""

PAUSE_S: Final = (0.5, 0.9)
"""Silence after each sentence."""

LOUDNESS: Final = 0.6
"""Factor of espeak-ng's samples, which nearly reach full scale."""

QUIET: Final = 1e-3
"""Quieter sound after the speech is cut off; full scale is 1."""


class ClipSpeaker:
    """Draws sentences that are not trained on, and speaks them into clips."""

    def __init__(self, library: Espeak, rng: random.Random) -> None:
        self._library = library
        self._rng = rng

    def speak(self, name: str, language: Language, sentences: int = 1) -> tuple[Samples, Clip]:
        """Return a clip, (n,) float32 at 16 kHz, and its entry in the manifest."""
        voice = self._rng.choice(VOICES[language])
        parts: list[Samples] = [np.zeros(int(LEAD_S * SAMPLE_RATE), np.float32)]
        drawn: list[grammar.Sentence] = []
        words: list[tuple[str, float]] = []
        spans: list[tuple[float, float]] = []
        position = LEAD_S
        for _ in range(sentences):
            drawn.append(grammar.draw_from(self._rng, held_out=True))
            sound, ends = self._synthesise(drawn[-1].text(language), voice)
            pause = int(self._rng.uniform(*PAUSE_S) * SAMPLE_RATE)
            words += [(word, round(position + end, 3)) for word, end in ends]
            after = position + len(sound) / SAMPLE_RATE
            spans.append((round(position, 3), round(after, 3)))
            parts += [sound, np.zeros(pause, np.float32)]
            position = after + pause / SAMPLE_RATE
        return np.concatenate(parts), Clip(
            file=f"{name}.flac",
            language=language,
            text=" ".join(sentence.text(language) for sentence in drawn),
            english=" ".join(sentence.en for sentence in drawn),
            words=tuple(words),
            sentences=tuple(spans),
        )

    def _synthesise(self, text: str, voice: str) -> tuple[Samples, list[tuple[str, float]]]:
        """Return one sentence at 16 kHz, and each word with its end, the start of the next one."""
        speech = self._library.speak(text, voice, words_per_minute=WORDS_PER_MINUTE)
        last = int(np.nonzero(np.abs(speech.samples) > QUIET)[0][-1])
        samples = speech.samples[: last + 200]
        spans = spans_from_marks(text, speech.words, len(samples) / ESPEAK_RATE)
        ends = [(word, span.end) for word, span in zip(text.split(" "), spans, strict=True)]
        sound = to_16_khz(samples)[: ceil(len(samples) * SAMPLE_RATE / ESPEAK_RATE)]
        return np.float32(LOUDNESS) * sound, ends


def make_clips(folder: Path, count: int, languages: Sequence[str], seed: int) -> list[Clip]:
    """Speak `count` clips of one sentence in each language, and write them with their manifest.

    Raises `BadRequest` for a language that the grammar does not have, `Unsupported` if espeak-ng
    is not installed.
    """
    known: dict[str, Language] = {language: language for language in LANGUAGES}
    if unknown := [language for language in languages if language not in known]:
        raise BadRequest(f"--languages {unknown[0]!r}; use some of: {', '.join(known)}.")
    with Espeak.open() as library:
        speaker = ClipSpeaker(library, random.Random(seed))
        results = [
            speaker.speak(f"{language}-{number}", known[language])
            for language in languages
            for number in range(count)
        ]
    folder.mkdir(parents=True, exist_ok=True)
    for samples, clip in results:
        write_samples(folder / clip.file, samples)
    clips = [clip for _, clip in results]
    write_manifest(folder, clips)
    return clips

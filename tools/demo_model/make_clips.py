"""Speak the test clips: single sentences and groups with pauses in three languages, and no speech.

    python -m demo_model.make_clips OUT_DIR

No sentence is used in training (grammar.is_held_out). manifest.json has for each clip: file,
language, text, English text, words with their end times in s, spans of the sentences in s. Clips
are 16 kHz mono FLAC. `python -m demo_speech` speaks more single sentences.
"""

import argparse
import random
from pathlib import Path

import numpy as np
from demo_speech.espeak import Espeak
from demo_speech.grammar import LANGUAGES
from demo_speech.synthesis import ClipSpeaker

from whisperlive_hybrid.bench.corpus import Clip, write_manifest, write_samples
from whisperlive_hybrid.types import SAMPLE_RATE, Samples

SEED = 7
SINGLES, GROUPS, GROUP_SIZE = 8, 2, 4  # in each language
EMPTY_S = 10


def speech_clips(speaker: ClipSpeaker) -> list[tuple[Samples, Clip]]:
    """Return the single sentences and groups of every language."""
    singles = [(f"{index}", 1) for index in range(SINGLES)]
    groups = [(f"long-{index}", GROUP_SIZE) for index in range(GROUPS)]
    return [
        speaker.speak(f"{language}-{name}", language, sentences)
        for language in LANGUAGES
        for name, sentences in singles + groups
    ]


def empty_clips() -> list[tuple[Samples, Clip]]:
    """Return silence and white noise."""
    count = EMPTY_S * SAMPLE_RATE
    noise = 0.02 * np.random.default_rng(SEED).standard_normal(count)
    return [
        (np.zeros(count, np.float32), Clip("silence.flac")),
        (noise.astype(np.float32), Clip("noise.flac")),
    ]


def main() -> None:
    """Write the clips and their manifest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, metavar="OUT_DIR")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    clips = speech_clips(ClipSpeaker(Espeak.open(), random.Random(SEED))) + empty_clips()
    for samples, clip in clips:
        write_samples(arguments.out / clip.file, samples)
    write_manifest(arguments.out, [clip for _, clip in clips])


if __name__ == "__main__":
    main()

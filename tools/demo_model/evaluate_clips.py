"""The part of the evaluation that composes its audio: several sentences, and no speech at all."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from demo_speech.grammar import Language

from demo_model.clips import ClipMaker
from demo_model.listener import Listener, Sound, percent_wrong, show
from demo_model.metrics import normalise
from demo_model.pool import SAMPLE_RATE
from demo_model.track import Layout, Placed, uniform_pause

Transcribe = Callable[[Sound, Language], list[Any]]
"""Returns faster-whisper's segments of a sound in a known language."""


@dataclass(frozen=True, slots=True)
class LongClip:
    """A recording of several sentences."""

    sound: Sound
    language: Language
    placed: tuple[Placed, ...]

    @property
    def text(self) -> str:
        """The spoken text."""
        return " ".join(placed.sentence.text(self.language) for placed in self.placed)

    @property
    def words(self) -> list[tuple[str, float, float]]:
        """Each word with its start and end in s."""
        return [
            (word, placed.start + start, placed.start + end)
            for placed in self.placed
            for word, (start, end) in zip(
                placed.sentence.text(self.language).split(), placed.word_times, strict=True
            )
        ]


@dataclass(slots=True)
class Comparison:
    """Texts of a set of clips beside their references, and errors of times in s."""

    references: list[str] = field(default_factory=list)
    hypotheses: list[str] = field(default_factory=list)
    same_segments: int = 0
    starts: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    word_starts: list[float] = field(default_factory=list)
    word_ends: list[float] = field(default_factory=list)

    def add(self, clip: LongClip, segments: Sequence[Any]) -> None:
        """Compare one clip; times only where the segments or the words are equal."""
        self.references.append(clip.text)
        self.hypotheses.append(" ".join(segment.text.strip() for segment in segments))
        if len(segments) == len(clip.placed):
            self.same_segments += 1
            for index, (segment, placed) in enumerate(zip(segments, clip.placed, strict=True)):
                if index or placed.start <= 1:  # decoding writes no first mark beyond 1.00 s
                    self.starts.append(abs(segment.start - placed.start))
                self.ends.append(abs(segment.end - placed.end))
        words = [word for segment in segments for word in (segment.words or [])]
        expected = clip.words
        if words and [normalise(w.word) for w in words] == [normalise(w) for w, _, _ in expected]:
            for word, (_, start, end) in zip(words, expected, strict=True):
                self.word_starts.append(abs(word.start - start))
                self.word_ends.append(abs(word.end - end))

    def figures(self) -> dict[str, object]:
        """Return the figures that the clips allow."""
        figures: dict[str, object] = {
            "wer": percent_wrong(self.references, self.hypotheses),
            "same_number_of_segments": f"{self.same_segments}/{len(self.references)}",
        }
        if self.starts:
            figures["start_error_median"] = np.median(self.starts)
            figures["start_error_p95"] = np.percentile(self.starts, 95)
        if self.ends:
            figures["end_error_median"] = np.median(self.ends)
            figures["end_error_p95"] = np.percentile(self.ends, 95)
        if self.word_starts:
            figures["word_start_error_median"] = np.median(self.word_starts)
            figures["word_start_error_p90"] = np.percentile(self.word_starts, 90)
            figures["word_end_error_median"] = np.median(self.word_ends)
            figures["words"] = len(self.word_starts)
        return figures


def several_sentences(listener: Listener, clips: ClipMaker, count: int) -> None:
    """Measure windows of 12 s and 30 s and files of 80 s, with the options that servers set."""
    rng = random.Random(3)
    short = _draw(clips, rng, count, (2, 3, 4), 12.0)
    full = _draw(clips, rng, count, (6, 8, 10), 29.5)
    long = _draw(clips, rng, max(2, count // 5), (25,), 80.0)

    def plain(**options: object) -> Transcribe:
        return lambda sound, language: listener.transcribe(sound, language, **options)[0]

    def batch(**options: object) -> Transcribe:
        return lambda sound, language: listener.transcribe_batched(sound, language, **options)

    runs: tuple[tuple[str, list[LongClip], Transcribe], ...] = (
        ("12 s", short, plain(word_timestamps=True)),
        ("30 s", full, plain(word_timestamps=True)),
        ("80 s", long, plain()),
        ("80 s no previous text", long, plain(condition_on_previous_text=False)),
        ("12 s without timestamps", short, plain(without_timestamps=True)),
        ("12 s vad_filter", short, plain(vad_filter=True)),
        ("12 s initial_prompt", short, plain(initial_prompt="Anna Peter Laura.")),
        ("12 s hotwords", short, plain(hotwords="Xylophone Zebra")),
        ("80 s batched, vad", long, batch()),
        ("80 s batched, words", long, batch(word_timestamps=True)),
    )
    for name, some, transcribe in runs:
        _compare(name, some, transcribe)


def _draw(
    clips: ClipMaker, rng: random.Random, count: int, sentences: Sequence[int], longest: float
) -> list[LongClip]:
    drawn = []
    for _ in range(count):
        layout = Layout(
            sentences=rng.choice(sentences),
            longest=longest,
            lead=uniform_pause(rng, 0, 1),
            gap=uniform_pause(rng, 0.3, 1.5),
            trail=uniform_pause(rng, 0, 1),
        )
        track = clips.tracks.make(layout)
        noisy = track.samples + 0.001 * clips.noise.make(len(track.samples))
        drawn.append(LongClip(noisy.astype(np.float32), track.language, track.placed))
    return drawn


def _compare(name: str, clips: Sequence[LongClip], transcribe: Transcribe) -> None:
    began = time.monotonic()
    comparison = Comparison()
    for clip in clips:
        comparison.add(clip, transcribe(clip.sound, clip.language))
    s_per_clip = round((time.monotonic() - began) / len(clips), 2)
    example = (comparison.references[0], comparison.hypotheses[0])
    show(name, **comparison.figures(), example=example, s_per_clip=s_per_clip)


def no_speech(listener: Listener, clips: ClipMaker) -> None:
    """Measure silence and noises, whose text should be empty."""
    make = clips.noise.make
    vocabulary = clips.vocabulary
    prompt = [vocabulary.start, vocabulary.languages[0], vocabulary.transcribe]
    sounds = (
        ("digital silence 5 s", np.zeros(5 * SAMPLE_RATE, np.float32)),
        ("white noise -40 dB", make(5 * SAMPLE_RATE, "white") * 0.03),
        ("white noise -10 dB", make(10 * SAMPLE_RATE, "white") * 0.5),
        ("brown noise", make(30 * SAMPLE_RATE, "brown") * 0.3),
        ("hum", make(5 * SAMPLE_RATE, "hum") * 0.1),
        ("silence 30 s", np.zeros(30 * SAMPLE_RATE, np.float32)),
    )
    for name, sound in sounds:
        probability, tokens = listener.first_guess(sound, prompt)
        text = listener.text(sound, "en")
        show(f"no speech: {name}", probability=probability, tokens=tokens[:6], text=text)

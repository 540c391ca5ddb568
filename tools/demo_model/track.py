"""Join sentences of the pool into one recording, with the times of words and phones."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from demo_speech.grammar import LANGUAGES, Language, Sentence
from numpy.typing import NDArray

from demo_model.pool import SAMPLE_RATE, Pool

Pause = Callable[[], float]
"""Draws the length of a pause in s."""


def uniform_pause(rng: random.Random, shortest: float, longest: float) -> Pause:
    """Return a pause of evenly distributed length."""
    return lambda: rng.uniform(shortest, longest)


def mixed_pause(
    rng: random.Random, share: float, usual: tuple[float, float], rare: tuple[float, float] | None
) -> Pause:
    """Return a pause that is `usual` in `share` of the cases, else `rare` (None: no pause)."""

    def draw() -> float:
        if rng.random() < share:
            return rng.uniform(*usual)
        return rng.uniform(*rare) if rare else 0.0

    return draw


def no_pause() -> float:
    """Return 0 s."""
    return 0.0


@dataclass(frozen=True, slots=True)
class Layout:
    """The number of sentences of a recording, and the pauses around them.

    `runs_over` allows the end of the recording at `longest` (s) to cut the last sentence.
    """

    sentences: int
    longest: float
    lead: Pause
    gap: Pause
    trail: Pause
    runs_over: bool = False


@dataclass(frozen=True, slots=True)
class Excerpt:
    """An utterance or a part of it; `words` is None where it has all words.

    Times in `word_times` (w, 2) and `phones` (p, 2) are s from the beginning of `samples`.
    """

    samples: NDArray[np.int16]
    end: float
    word_times: NDArray[np.float32]
    phones: NDArray[np.float32]
    words: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """A sentence from `start` to `end` s; the times of words and phones count from `start`.

    `partial_text` is the audible part of the text, None for the whole.
    """

    start: float
    end: float
    sentence: Sentence
    word_times: NDArray[np.float32]
    phones: NDArray[np.float32]
    partial_text: str | None


@dataclass(frozen=True, slots=True)
class CutOff:
    """A sentence cut by the end of the recording, too short to be transcribed."""

    start: float
    phones: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Track:
    """A recording, (n,) float32 at 16 kHz, in one language."""

    samples: NDArray[np.float32]
    language: Language
    placed: tuple[Placed, ...]
    cut_off: CutOff | None = None


class TrackMaker:
    """Draws recordings from a pool.

    `head_cut` and `tail_cut` are the shares of recordings that begin or end within a sentence, as
    the windows of a streaming server do.
    """

    def __init__(
        self, pool: Pool, rng: random.Random, *, head_cut: float = 0.0, tail_cut: float = 0.0
    ) -> None:
        self._pool = pool
        self._rng = rng
        self._head_cut = head_cut
        self._tail_cut = tail_cut
        self._voices = {language: pool.voices(language) for language in LANGUAGES}

    def make(self, layout: Layout) -> Track:
        """Draw sentences and put them one after another."""
        rng = self._rng
        language = rng.choice(LANGUAGES)
        voice = rng.choice(self._voices[language])
        sound = np.zeros(int(layout.longest * SAMPLE_RATE), np.float32)
        position, trail = layout.lead(), layout.trail
        placed: list[Placed] = []
        cut_off = None
        for turn in range(layout.sentences):
            if rng.random() < 0.15:
                voice = rng.choice(self._voices[language])
            utterance = rng.choice(self._pool.by_voice(language, voice))
            excerpt = Excerpt(utterance.samples, utterance.end, utterance.words, utterance.phones)
            n_words = len(excerpt.word_times)
            # A share is drawn only for the first or last sentence: the order of draws is fixed.
            if turn == 0 and rng.random() < self._head_cut and n_words > 2:
                excerpt = self._cut_head(excerpt, utterance.text)
                position = rng.uniform(0, 0.05)
            elif turn == layout.sentences - 1 and rng.random() < self._tail_cut and n_words > 1:
                excerpt = self._cut_tail(excerpt, utterance.text)
                trail = no_pause
            if position + excerpt.end > layout.longest - 0.05:
                if layout.runs_over and position < layout.longest - 0.3:
                    _mix(excerpt.samples, sound, position)
                    cut_off = CutOff(position, excerpt.phones)
                break
            _mix(excerpt.samples, sound, position)
            text = " ".join(excerpt.words) if excerpt.words is not None else None
            placed.append(
                Placed(
                    position,
                    position + excerpt.end,
                    utterance.sentence,
                    excerpt.word_times,
                    excerpt.phones,
                    text,
                )
            )
            position += excerpt.end + layout.gap()
        if not placed:  # nothing fitted: draw again, one sentence alone
            return self.make(
                replace(layout, sentences=1, lead=lambda: 0.1, trail=trail, runs_over=False)
            )
        if cut_off is None:
            sound = sound[: int((placed[-1].end + trail()) * SAMPLE_RATE)]
        return Track(sound, language, tuple(placed), cut_off)

    def _cut_head(self, whole: Excerpt, text: str) -> Excerpt:
        """Return the excerpt from a later word on."""
        first = self._rng.randint(1, len(whole.word_times) - 1)
        start = float(whole.word_times[first][0])
        phone_starts = np.maximum(whole.phones[:, :1] - start, 0)
        return Excerpt(
            samples=whole.samples[int(start * SAMPLE_RATE) :],
            end=whole.end - start,
            word_times=whole.word_times[first:] - start,
            phones=np.concatenate([phone_starts, whole.phones[:, 1:]], 1),
            words=tuple(text.split(" ")[first:]),
        )

    def _cut_tail(self, whole: Excerpt, text: str) -> Excerpt:
        """Return the excerpt up to a time after its first word, without incomplete words.

        The last complete word loses its punctuation, unless the sentence is complete.
        """
        end = self._rng.uniform(float(whole.word_times[0][1]), whole.end)
        n_complete = int((whole.word_times[:, 1] <= end + 0.05).sum())
        words = text.split(" ")
        partial = (*words[: n_complete - 1], words[n_complete - 1].rstrip(".,?"))
        return Excerpt(
            samples=whole.samples[: int(end * SAMPLE_RATE)],
            end=end,
            word_times=whole.word_times[:n_complete],
            phones=whole.phones[whole.phones[:, 0] < end],
            words=partial if n_complete < len(words) else None,
        )


def _mix(samples: NDArray[np.int16], sound: NDArray[np.float32], at: float) -> None:
    """Add (n,) int16 samples to `sound` at `at` s, as far as they fit."""
    first = int(at * SAMPLE_RATE)
    fitting = samples[: len(sound) - first]
    sound[first : first + len(fitting)] += fitting.astype(np.float32) / 32768

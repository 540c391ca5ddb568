"""Training clips: recordings with noise, their spectrograms and the targets of every loss."""

import random
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from demo_speech.grammar import LANGUAGES
from numpy.typing import NDArray
from tokenizers import Tokenizer

from demo_model.pool import SAMPLE_RATE, Pool
from demo_model.spectrogram import N_MELS, LogMel, NoiseSource
from demo_model.targets import NO_TARGET, Script, ScriptWriter
from demo_model.track import Layout, Track, TrackMaker, mixed_pause, uniform_pause

ENCODER_FRAMES_PER_S = 50
FULL_FRAMES = 3000  # mel frames in 30 s
MAX_POSITIONS = 448  # of the decoder

Kind = Literal["A", "B", "C"]
"""A: one sentence in up to 4 s. B: up to five in 12 s. C: up to fourteen in 30 s."""
BATCH_SIZES: dict[Kind, int] = {"A": 16, "B": 6, "C": 3}


@dataclass(frozen=True, slots=True)
class Clip:
    """A spectrogram (80, t), phone numbers (t // 2,) int64 at 50 a second, and a script."""

    mel: torch.Tensor
    phones: NDArray[np.int64]
    script: Script


@dataclass(frozen=True, slots=True)
class Batch:
    """Clips padded to one size: b clips, t mel frames, p positions.

    `mel` (b, 80, t) float32 · `phones` (b, t // 2) · `tokens` (b, p) · `targets` (b, p), -1 for
    none · `spans` (b, p, 2), the interval in s to attend to, -1 for none · `is_translation` (b,).
    """

    mel: torch.Tensor
    phones: torch.Tensor
    tokens: torch.Tensor
    targets: torch.Tensor
    spans: torch.Tensor
    is_translation: torch.Tensor

    @property
    def seconds(self) -> float:
        """Seconds of audio in the batch, including padding."""
        return float(self.mel.shape[0] * self.mel.shape[2] / 100)


class ClipMaker:
    """Draws clips and batches endlessly; equal seeds over equal pools draw equal ones."""

    def __init__(
        self,
        pool: Pool,
        tokenizer: Tokenizer,
        seed: int,
        *,
        head_cut: float = 0.0,
        tail_cut: float = 0.0,
    ) -> None:
        self._rng = random.Random(seed)
        self.noise = NoiseSource(self._rng, seed)
        self.tracks = TrackMaker(pool, self._rng, head_cut=head_cut, tail_cut=tail_cut)
        self._scripts = ScriptWriter(pool, tokenizer, self._rng)
        self._log_mel = LogMel()
        self.vocabulary = self._scripts.vocabulary

    def batch(self, kind: Kind, size: int | None = None) -> Batch:
        """Draw a batch of one kind; a clip with more tokens than positions is left out."""
        clips: list[Clip] = []
        while not clips:
            drawn = [self._clip(kind) for _ in range(size or BATCH_SIZES[kind])]
            clips = [clip for clip in drawn if len(clip.script.positions) <= MAX_POSITIONS]
        frames = FULL_FRAMES if kind == "C" else self._frames(clips)
        mel = torch.zeros(len(clips), N_MELS, frames)
        phones = torch.full((len(clips), frames // 2), 0)
        for row, clip in enumerate(clips):
            # OpenAI and Hugging Face pad the audio, so that the padding is as quiet as the clip
            # can be; faster-whisper pads the spectrogram with zeros.
            if self._rng.random() < 0.4:
                mel[row] = float(clip.mel.min())
            mel[row, :, : clip.mel.shape[1]] = clip.mel
            phones[row, : len(clip.phones)] = torch.from_numpy(clip.phones)
        tokens, targets, spans = _pad_scripts([clip.script for clip in clips], self.vocabulary.end)
        translations = torch.tensor([clip.script.is_translation for clip in clips])
        return Batch(mel, phones, tokens, targets, spans, translations)

    def _frames(self, clips: list[Clip]) -> int:
        """Return the longest clip's even number of frames, in half of the cases with spare ones."""
        frames: int = max(clip.mel.shape[1] for clip in clips)
        if self._rng.random() < 0.5:
            frames += int(self._rng.uniform(0, 250))
        frames = min(FULL_FRAMES, frames)
        return frames + frames % 2

    def _clip(self, kind: Kind) -> Clip:
        layout = draw_layout(kind, self._rng)
        track = self._silence(layout) if self._rng.random() < 0.06 else self._speech(layout)
        raised = self._rng.uniform(0, 2.5) if self._rng.random() < 0.15 else 0.0
        mel = self._log_mel(np.ascontiguousarray(track.samples, np.float32), raised)
        phones = phone_frames(track, mel.shape[1] // 2)
        return Clip(mel, phones, self._scripts.write(track, long_prompts=kind == "C"))

    def _silence(self, layout: Layout) -> Track:
        """Draw digital silence or noise alone, which teaches the model to write nothing."""
        count = int(self._rng.uniform(0.5, layout.longest) * SAMPLE_RATE)
        sound = np.zeros(count, np.float32)
        if self._rng.random() < 0.8:
            sound = self.noise.make(count) * 10 ** self._rng.uniform(-4, -0.7)
        return Track(sound, self._rng.choice(LANGUAGES), ())

    def _speech(self, layout: Layout) -> Track:
        """Draw speech at some loudness, mostly over noise, sometimes with a constant offset."""
        rng = self._rng
        track = self.tracks.make(layout)
        sound = track.samples * 10 ** rng.uniform(-1.2, 0.1)
        if rng.random() < 0.6:
            # 18 to 55 dB below the peak
            noise = self.noise.make(len(sound))
            sound = sound + noise * (np.abs(sound).max() * 10 ** (-rng.uniform(18, 55) / 20))
        if rng.random() < 0.2:
            sound = sound + rng.uniform(-0.02, 0.02)
        return Track(sound, track.language, track.placed, track.cut_off)


def draw_layout(kind: Kind, rng: random.Random) -> Layout:
    """Draw the number of sentences of a clip of this kind, and their pauses."""
    trail = mixed_pause(rng, 0.85, (0, 0.7), (0, 3))
    if kind == "A":
        lead = mixed_pause(rng, 0.8, (0, 0.7), None)
        return Layout(1, 4.0, lead, uniform_pause(rng, 0.2, 0.8), trail)
    if kind == "B":
        lead = mixed_pause(rng, 0.85, (0, 1.2), (0, 5))
        return Layout(rng.randint(1, 5), 12.0, lead, uniform_pause(rng, 0.1, 1.6), trail)
    lead = mixed_pause(rng, 0.7, (0, 1.2), (0, 12))
    sentences = rng.choice((1, 3, 6, 8, 10, 12, 14))
    gap = uniform_pause(rng, 0.1, rng.choice((0.6, 1.5, 3.0)))
    return Layout(sentences, 30.0, lead, gap, trail, runs_over=True)


def phone_frames(track: Track, frames: int) -> NDArray[np.int64]:
    """Return the phone spoken in each encoder frame, 0 for none."""
    numbers = np.zeros(frames, np.int64)
    parts = [(placed.start, placed.phones) for placed in track.placed]
    if track.cut_off:
        parts.append((track.cut_off.start, track.cut_off.phones))
    for start, phones in parts:
        firsts = ((start + phones[:, 0]) * ENCODER_FRAMES_PER_S).round().astype(int)
        firsts = np.minimum(firsts, frames)
        # The last mark is the end of the sentence and has no frame.
        for first, after, phone in zip(firsts[:-1], firsts[1:], phones[:-1, 1], strict=True):
            numbers[first:after] = phone
    return numbers


def _pad_scripts(
    scripts: list[Script], padding: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return tokens (b, p), targets (b, p) and spans (b, p, 2)."""
    size = (len(scripts), max(len(script.positions) for script in scripts))
    tokens, targets = torch.full(size, padding), torch.full(size, NO_TARGET)
    spans = torch.full((*size, 2), -1.0)
    for row, script in enumerate(scripts):
        for column, position in enumerate(script.positions):
            tokens[row, column], targets[row, column] = position.token, position.target
            if position.span is not None:
                spans[row, column, 0] = float(position.span.start)
                spans[row, column, 1] = float(position.span.end)
    return tokens, targets, spans

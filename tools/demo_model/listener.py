"""A converted model behind faster-whisper, for the evaluation."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from demo_speech.grammar import Language
from faster_whisper import BatchedInferencePipeline, WhisperModel
from faster_whisper.audio import pad_or_trim
from numpy.typing import NDArray

from demo_model.metrics import word_error_rate

MARGIN = 3200  # samples of silence around a sentence, 0.2 s
WINDOW_FRAMES = 3000

Sound = NDArray[np.float32]
"""(n,) samples at 16 kHz in [-1, 1]."""


class Listener:
    """One model and one beam width; `options` are those of faster-whisper's `transcribe`."""

    def __init__(self, model: WhisperModel, beam: int) -> None:
        self._model = model
        self._batched = BatchedInferencePipeline(model)
        self._beam = beam

    @classmethod
    def load(cls, folder: Path, compute_type: str, beam: int) -> "Listener":
        """Load a CTranslate2 directory, to run on one thread."""
        model = WhisperModel(str(folder), device="cpu", compute_type=compute_type, cpu_threads=1)
        return cls(model, beam)

    def transcribe(
        self, sound: Sound | str, language: Language | None = None, **options: object
    ) -> tuple[list[Any], Any]:
        """Return faster-whisper's segments and information of a path or samples."""
        segments, info = self._model.transcribe(
            sound, language=language, beam_size=self._beam, **options
        )
        return list(segments), info

    def transcribe_batched(self, sound: Sound, language: Language, **options: object) -> list[Any]:
        """Return the segments of the voice-activity windows, decoded four at a time."""
        segments, _ = self._batched.transcribe(
            sound, language=language, beam_size=self._beam, batch_size=4, **options
        )
        return list(segments)

    def text(self, sound: Sound, language: Language, **options: object) -> str:
        """Return the text."""
        return join_text(self.transcribe(sound, language, **options)[0])

    def first_guess(self, sound: Sound, tokens: Sequence[int]) -> tuple[float, list[int]]:
        """Return the probability of no speech and the tokens that follow a bare prompt."""
        features = self._model.feature_extractor(sound)
        encoded = self._model.encode(pad_or_trim(features[:, :WINDOW_FRAMES]))
        result = self._model.model.generate(
            encoded, [list(tokens)], return_no_speech_prob=True, beam_size=1
        )[0]
        following: list[int] = result.sequences_ids[0]
        return float(result.no_speech_prob), following


def join_text(segments: Iterable[Any]) -> str:
    """Return the text of all segments."""
    return "".join(segment.text for segment in segments).strip()


def pad(sound: Sound) -> Sound:
    """Add `MARGIN` samples of silence at both ends."""
    return np.pad(sound, (MARGIN, MARGIN))


def percent_wrong(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Return the word error rate in percent, rounded for a report."""
    return round(word_error_rate(references, hypotheses), 2)


def show(name: str, **figures: object) -> None:
    """Print one line of the report."""
    line = json.dumps(figures, ensure_ascii=False, default=lambda number: round(float(number), 3))
    print(name, line, flush=True)

"""Profile a long file: run the server's parts in this process and measure CPU time between them.

CPU time and not wall time, so that a busy machine changes little. The parts are those of a server,
the same backend, engine, detector and transcriber, without HTTP.
"""

import tempfile
import time
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from load_tests.cpu_ledger import Ledger, foreign_cpu_s

from whisperlive_hybrid.backends.base import (
    Align,
    Backend,
    Capabilities,
    DetectLanguage,
    Encode,
    Encoded,
    Generate,
    Work,
)
from whisperlive_hybrid.backends.registry import load_backend
from whisperlive_hybrid.backends.silero import SileroVad
from whisperlive_hybrid.bench.corpus import Corpus, compose_recording
from whisperlive_hybrid.config import ModelSettings
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.media.reader import open_audio
from whisperlive_hybrid.transcribe import FileRequest, Transcriber, VoiceStream
from whisperlive_hybrid.types import (
    DecodeOptions,
    Hypothesis,
    Language,
    Samples,
    TokenTime,
    Urgency,
    Vocabulary,
)

RUNTIME: Final = "CTranslate2"
MEDIA: Final = "media decoding"
VOICE: Final = "voice detection"
FEATURES: Final = "mel features"
CALLS: Final = "prompts and copies"
REST: Final = "engine, windows, text"


@dataclass(frozen=True, slots=True)
class Profile:
    """The CPU time of one recording."""

    audio_s: float
    seconds: float
    cpu_s: float
    """Of the whole process."""
    workers: int
    by_kind: dict[str, float]
    """CPU seconds by kind of work; their sum is `cpu_s`."""

    @property
    def runtime_share(self) -> float:
        """CTranslate2's share of the CPU time."""
        return self.by_kind[RUNTIME] / self.cpu_s

    @property
    def busy_share(self) -> float:
        """Share of the time of `workers` cores that this process used."""
        return self.cpu_s / (self.seconds * self.workers)


async def profile_file(
    settings: ModelSettings,
    clips: Path,
    options: DecodeOptions,
    language: str,
    seconds: float,
    seed: int,
) -> Profile:
    """Transcribe a recording composed of clips in `language`, and measure its CPU time."""
    ledger = Ledger()
    with tempfile.TemporaryDirectory(prefix="whisperlive-bench-") as folder:
        corpus = Corpus.read(clips, [language])
        recording = compose_recording(corpus, seconds, seed, Path(folder) / "long")
        async with Engine(_MeasuredBackend(load_backend(settings), ledger)) as engine:
            transcriber = Transcriber(engine, _MeasuredDetector(ledger))
            request = FileRequest(replace(options, language=language), urgency=Urgency.BULK)
            began, cpu_began, foreign_began = _read_clocks()
            with recording.file.open("rb") as file, open_audio(file) as audio:
                await transcriber.transcribe(_measure_blocks(audio.blocks(), ledger), request)
            ended, cpu_ended, foreign_ended = _read_clocks()
            workers = engine.capabilities.workers
    cpu_s = cpu_ended - cpu_began
    known = {RUNTIME: foreign_ended - foreign_began, **ledger.seconds}
    return Profile(
        audio_s=recording.duration,
        seconds=ended - began,
        cpu_s=cpu_s,
        workers=workers,
        by_kind={**known, REST: cpu_s - sum(known.values())},
    )


def format_profile(profile: Profile) -> list[str]:
    """Return the profile as lines, the largest share first."""
    head = (
        f"{profile.audio_s:.0f} s of audio in {profile.seconds:.1f} s; {profile.cpu_s:.1f} s of "
        f"CPU, {profile.busy_share:.0%} of {profile.workers} cores"
    )
    largest = sorted(profile.by_kind.items(), key=lambda item: -item[1])
    kinds = (f"{cpu_s:8.2f} s {cpu_s / profile.cpu_s:6.1%}  {kind}" for kind, cpu_s in largest)
    return [head, *kinds]


def _read_clocks() -> tuple[float, float, float]:
    """Read the wall clock and the CPU time of the process and of the runtime's threads, in s."""
    return time.monotonic(), time.process_time(), foreign_cpu_s()


def _measure_blocks(blocks: Iterator[Samples], ledger: Ledger) -> Iterator[Samples]:
    while True:
        with ledger.measure(MEDIA):
            block = next(blocks, None)
        if block is None:
            return
        yield block


class _MeasuredDetector:
    """Silero with measured CPU time."""

    def __init__(self, ledger: Ledger) -> None:
        self._detector = SileroVad()
        self._ledger = ledger

    def open(self) -> VoiceStream:
        return _MeasuredStream(self._detector.open(), self._ledger)


class _MeasuredStream:
    """A stream of Silero with measured CPU time."""

    def __init__(self, stream: VoiceStream, ledger: Ledger) -> None:
        self._stream = stream
        self._ledger = ledger

    def push(self, samples: Samples) -> list[float]:
        with self._ledger.measure(VOICE):
            return self._stream.push(samples)

    def flush(self) -> list[float]:
        with self._ledger.measure(VOICE):
            return self._stream.flush()


class _MeasuredBackend:
    """A backend with measured CPU time of the caller; CTranslate2 computes on its own threads."""

    def __init__(self, backend: Backend, ledger: Ledger) -> None:
        self._backend = backend
        self._ledger = ledger

    @property
    def capabilities(self) -> Capabilities:
        return self._backend.capabilities

    @property
    def vocabulary(self) -> Vocabulary:
        return self._backend.vocabulary

    def batch_key(self, work: Work) -> Hashable:
        return self._backend.batch_key(work)

    def encode(self, batch: Sequence[Encode]) -> list[Encoded | Exception]:
        with self._ledger.measure(FEATURES):
            return self._backend.encode(batch)

    def detect_language(self, batch: Sequence[DetectLanguage]) -> list[Language | Exception]:
        with self._ledger.measure(CALLS):
            return self._backend.detect_language(batch)

    def generate(self, batch: Sequence[Generate]) -> list[Hypothesis | Exception]:
        with self._ledger.measure(CALLS):
            return self._backend.generate(batch)

    def align(self, batch: Sequence[Align]) -> list[list[TokenTime] | Exception]:
        with self._ledger.measure(CALLS):
            return self._backend.align(batch)

    def close(self) -> None:
        self._backend.close()

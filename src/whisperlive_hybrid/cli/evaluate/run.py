"""An evaluation from the loaded model to scores: every reader reads every recording."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from whisperlive_hybrid import __version__
from whisperlive_hybrid.backends.registry import get_first_model, load_backend
from whisperlive_hybrid.backends.silero import SileroVad
from whisperlive_hybrid.bench.recordings import LabelledRecording
from whisperlive_hybrid.cli.evaluate.peer import check_peers, peer_readers
from whisperlive_hybrid.cli.evaluate.readers import FileReader, LiveReader, Reader
from whisperlive_hybrid.cli.evaluate.report import EvaluatedRecording, score_outputs
from whisperlive_hybrid.config import Settings
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.live.session import LiveOptions
from whisperlive_hybrid.media.limits import MediaLimits
from whisperlive_hybrid.models.store import OnProgress
from whisperlive_hybrid.speech.regions import live_vad
from whisperlive_hybrid.text.endings import live_endings


@dataclass(frozen=True, slots=True)
class Plan:
    """Who reads, and how."""

    ways: Sequence[str]
    """Of "file" and "live"."""
    peers: Sequence[str]
    is_real_time: bool


async def evaluate_all(
    settings: Settings,
    recordings: Sequence[LabelledRecording],
    plan: Plan,
    on_progress: OnProgress,
    note: Callable[[str], None],
) -> tuple[list[EvaluatedRecording], dict[str, Any]]:
    """Return the scores of all recordings, and facts about the run for the report.

    The readers take turns, so that a machine that becomes busy is busy for all of them.
    `on_progress` is called while the model is downloaded, `note` with a line for each recording.
    """
    check_peers(plan.peers, settings.model.backend)
    backend = load_backend(settings.model, on_progress=on_progress)
    able = backend.capabilities
    limits, detector = MediaLimits(settings.files.max_audio_hours * 3600), SileroVad()
    done: list[EvaluatedRecording] = []
    async with Engine(backend, queue_limit=settings.files.queue_limit) as engine:
        with ExitStack() as processes:
            readers: list[Reader] = []
            if "file" in plan.ways:
                readers.append(FileReader(engine, detector, limits))
            if "live" in plan.ways:
                live = LiveOptions(
                    vad=live_vad(settings.live.live_endpoint_s),
                    endings=live_endings(settings.live.live_patience_s),
                )
                is_real_time = plan.is_real_time
                reader = LiveReader(engine, detector, limits, live, is_real_time=is_real_time)
                readers.append(reader)
            if plan.peers:
                weights, threads = (
                    get_first_model(settings.model).directory,
                    settings.model.worker_threads,
                )
                started = peer_readers(plan.peers, weights, able.device, able.compute_type, threads)
                readers += processes.enter_context(started)
            for number, recording in enumerate(recordings, 1):
                outputs = {reader.name: await reader.read(recording) for reader in readers}
                done.append(score_outputs(recording, outputs))
                scores = done[-1].scores
                errors = ", ".join(f"{name} {score.errors}" for name, score in scores.items())
                note(f"{number}/{len(recordings)} {recording.id}: errors: {errors}")
    about = {
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "version": __version__,
        "model": able.model,
        "backend": able.backend,
        "device": able.device,
        "compute_type": able.compute_type,
        "threads": settings.model.worker_threads,
    }
    return done, about

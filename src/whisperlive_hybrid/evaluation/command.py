"""The command `whisperlive evaluate`: how right this server is on recordings with references."""

import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import anyio
import typer

from whisperlive_hybrid import __version__
from whisperlive_hybrid.config import Settings, load_settings
from whisperlive_hybrid.errors import BadRequest, ModelUnavailable
from whisperlive_hybrid.telemetry.logs import configure_logging
from whisperlive_hybrid.terminal import (
    BackendOption,
    ModelOption,
    ThreadsOption,
    known_language,
    note,
    pull_screen,
)

if TYPE_CHECKING:  # slow to load, as below
    from whisperlive_hybrid.evaluation.recordings import LabelledRecording
    from whisperlive_hybrid.evaluation.report import Evaluated

WAYS: Final = ("file", "live")


@dataclass(frozen=True, slots=True)
class Plan:
    """Who reads."""

    ways: Sequence[str]
    peers: Sequence[str]
    is_real_time: bool


def evaluate(
    directory: Annotated[
        Path,
        typer.Argument(
            help="Recordings with .txt beside them, or with manifest.jsonl.",
            exists=True,
            file_okay=False,
        ),
    ],
    ways: Annotated[str, typer.Option(help="file, live, or both.")] = "file,live",
    compare: Annotated[
        str,
        typer.Option(
            help="Let faster-whisper read them as well: faster-whisper, faster-whisper-vad, "
            "faster-whisper-batched (several with commas)."
        ),
    ] = "",
    kinds: Annotated[str, typer.Option(help="Only these, with commas.")] = "",
    languages: Annotated[str, typer.Option(help="Only these, with commas.")] = "",
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many of each kind in each language.")
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="Of recordings with .txt beside them, such as en.")
    ] = None,
    real_time: Annotated[
        bool,
        typer.Option("--real-time", help="Feed the live way at the pace of speech."),
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write everything to this file as well.")
    ] = None,
    model: ModelOption = None,
    backend: BackendOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Measure word errors, lost and invented words, cue ends and CPU time on your recordings."""
    for package in ("jiwer", "whisper_normalizer"):
        if find_spec(package) is None:
            raise ModelUnavailable(
                f"The evaluation needs the package {package}: "
                "pip install 'whisperlive-hybrid-server[evaluate]'."
            )
    from whisperlive_hybrid.evaluation import recordings, report  # noqa: PLC0415 (slow to load)

    plan = Plan(_listed(ways), _listed(compare), real_time)
    if not plan.ways or set(plan.ways) - set(WAYS):
        raise BadRequest(f"--ways={ways!r}: name file, live, or both with a comma.")
    settings = load_settings(model=model, backend=backend, threads=threads)
    configure_logging(form=settings.log_format, level="error")
    given = recordings.labelled_recordings(directory, known_language(language))
    found = recordings.chosen(given, _listed(kinds), _listed(languages), limit)
    done, about = anyio.run(_read_all, settings, found, plan)
    peer = plan.peers[0] if plan.peers else None
    rows = report.figures(done, peer)
    for line in report.table_lines(rows):
        typer.echo(line)
    for line in report.lost_lines(done, peer) if peer else ():
        note(line)
    if json_file is not None:
        json_file.write_text(report.as_json(about, done, rows), encoding="utf-8")


async def _read_all(
    settings: Settings, recordings: "Sequence[LabelledRecording]", plan: Plan
) -> "tuple[list[Evaluated], dict[str, Any]]":
    """Let every reader read every recording, in turn, so that a busy machine meets them all."""
    from whisperlive_hybrid.backends.registry import (  # noqa: PLC0415 (slow to load)
        first_model,
        load_backend,
    )
    from whisperlive_hybrid.backends.silero import SileroVad  # noqa: PLC0415 (slow to load)
    from whisperlive_hybrid.engine.engine import Engine  # noqa: PLC0415 (slow to load)
    from whisperlive_hybrid.evaluation import peer, readers, report  # noqa: PLC0415 (slow to load)
    from whisperlive_hybrid.media import MediaLimits  # noqa: PLC0415 (slow to load)

    peer.check_peers(plan.peers, settings.backend)
    with pull_screen() as on_progress:
        loaded = load_backend(settings, on_progress=on_progress)
    able = loaded.capabilities
    limits = MediaLimits(max_duration_s=settings.max_audio_hours * 3600)
    detector = SileroVad()
    done = []
    with ExitStack() as processes:
        reading: list[readers.Reader] = []
        async with Engine(loaded, queue_limit=settings.queue_limit) as engine:
            if "file" in plan.ways:
                reading.append(readers.FileReader(engine, detector, limits))
            if "live" in plan.ways:
                live = readers.LiveReader(engine, detector, limits, is_real_time=plan.is_real_time)
                reading.append(live)
            if plan.peers:
                weights = first_model(settings).directory
                started = peer.peer_readers(
                    plan.peers, weights, able.device, able.compute_type, settings.worker_threads
                )
                reading += processes.enter_context(started)
            for number, recording in enumerate(recordings, 1):
                outputs = {reader.name: await reader.read(recording) for reader in reading}
                done.append(report.evaluated(recording, outputs))
                counts = ", ".join(f"{name} {s.errors}" for name, s in done[-1].scores.items())
                words = next(iter(done[-1].scores.values())).words
                note(f"{number}/{len(recordings)} {recording.id}: {words} words; errors: {counts}")
    about = {
        "command": shlex.join(["whisperlive", *sys.argv[1:]]),
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "version": __version__,
        "model": able.model,
        "backend": able.backend,
        "device": able.device,
        "compute_type": able.compute_type,
        "threads": settings.worker_threads,
    }
    return done, about


def _listed(names: str) -> list[str]:
    return list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))

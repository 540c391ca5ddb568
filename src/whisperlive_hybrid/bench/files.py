"""The benchmark of the file door: compose, start, read in turn with the peers, report."""

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import anyio
import anyio.to_thread

from whisperlive_hybrid.bench.corpus import Library, Recording, record, record_clip
from whisperlive_hybrid.bench.file_run import (
    ClipWait,
    FileRun,
    clip_wait,
    clips_meanwhile,
    idle_waits,
    read_by_server,
)
from whisperlive_hybrid.bench.files_report import FilesReport, run_line
from whisperlive_hybrid.bench.http_client import address
from whisperlive_hybrid.bench.live import Say
from whisperlive_hybrid.bench.peers import Peer, read_by_peer
from whisperlive_hybrid.bench.server import serving, usage
from whisperlive_hybrid.config import load_settings
from whisperlive_hybrid.models.store import ModelStore


@dataclass(frozen=True, slots=True)
class FilesBenchmark:
    """What is to be measured."""

    clips: Path
    language: str
    minutes: float
    """Length of the recording."""
    seed: int = 0
    model: str | None = None
    """Of a server of our own, and of the peers."""
    http_url: str = ""
    """Of a server that runs already; empty to start our own."""
    server_pid: int | None = None
    """Of the server that runs already; None if it is out of sight."""
    peers: Sequence[Peer] = ()
    rounds: int = 1
    """How often each reads the recording, in turn."""
    with_clip: bool = False
    """Whether a short clip is timed, on the idle server and while the recording is read."""


@dataclass(frozen=True, slots=True)
class _Door:
    """The server under test."""

    url: str
    pid: int | None
    idle_rss_mb: float | None
    """Before it was asked anything."""


async def run_files_benchmark(benchmark: FilesBenchmark, command: str, say: Say) -> FilesReport:
    """Measure. `command` is how it was called, for the report."""
    date = datetime.now().astimezone().isoformat(timespec="seconds")
    with tempfile.TemporaryDirectory(prefix="whisperlive-bench-") as folder:
        long, clip = await anyio.to_thread.run_sync(_composed, benchmark, Path(folder))
        say(f"{long.duration / 60:g} minutes, {len(long.words)} words, language {long.language}")
        async with _server(benchmark) as door:
            wait, runs = await _measured(benchmark, door, long, clip, say)
    return FilesReport(command=command, date=date, runs=tuple(runs), clip=wait)


async def _measured(
    benchmark: FilesBenchmark, door: _Door, long: Recording, clip: Recording | None, say: Say
) -> tuple[ClipWait | None, list[FileRun]]:
    idle = await idle_waits(door.url, clip) if clip else []
    busy: list[float] = []
    runs: list[FileRun] = []

    def note(run: FileRun) -> None:
        runs.append(run)
        say(run_line(run))

    for _ in range(benchmark.rounds):
        async with clips_meanwhile(door.url, clip) as waits:
            note(await read_by_server(door.url, door.pid, long, door.idle_rss_mb))
        busy += waits
        for peer in benchmark.peers:
            settings = load_settings(model=benchmark.model)
            files = ModelStore(settings.models_dir).get(settings.model)
            note(await read_by_peer(peer, files.directory, long))
    return clip_wait(idle, busy) if clip else None, runs


def _composed(benchmark: FilesBenchmark, folder: Path) -> tuple[Recording, Recording | None]:
    library = Library.read(benchmark.clips, [benchmark.language])
    long = record(library, benchmark.minutes * 60, benchmark.seed, folder / "long")
    clip = record_clip(library, benchmark.seed, folder / "clip") if benchmark.with_clip else None
    return long, clip


@asynccontextmanager
async def _server(benchmark: FilesBenchmark) -> AsyncIterator[_Door]:
    """The server that is named, or one of our own."""
    if benchmark.http_url:
        address(benchmark.http_url)
        yield _door(benchmark.http_url, benchmark.server_pid)
        return
    async with serving(benchmark.model or "") as server:
        yield _door(server.http_url, server.pid)


def _door(url: str, pid: int | None) -> _Door:
    return _Door(url, pid, usage(pid).rss_mb if pid is not None else None)

"""The benchmark of the HTTP server with a long file, in turn with the peers."""

import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import anyio
import anyio.to_thread

from whisperlive_hybrid.bench.corpus import Corpus, Recording, compose_clip, compose_recording
from whisperlive_hybrid.bench.file_run import (
    ClipWait,
    FileRun,
    measure_idle,
    measure_server,
    send_clips,
    summarise_waits,
)
from whisperlive_hybrid.bench.files_report import FilesReport, run_line
from whisperlive_hybrid.bench.http_client import parse_http_url
from whisperlive_hybrid.bench.live import OnLine
from whisperlive_hybrid.bench.peers import Peer, measure_peer
from whisperlive_hybrid.bench.server import read_usage, start_server
from whisperlive_hybrid.config import load_settings
from whisperlive_hybrid.models.store import ModelStore


@dataclass(frozen=True, slots=True)
class FilesBenchmark:
    """The parameters of a file benchmark."""

    clips: Path
    language: str
    minutes: float
    """Length of the recording."""
    seed: int = 0
    model: str | None = None
    """Model of a server to start, and of the peers."""
    http_url: str = ""
    """URL of a running server; empty to start one."""
    server_pid: int | None = None
    """Process of the running server; None if it is on another machine."""
    peers: Sequence[Peer] = ()
    rounds: int = 1
    """Number of runs of each program, in turn."""
    with_clip: bool = False
    """True to time a short clip, on the idle server and while it transcribes the recording."""


async def run_files_benchmark(
    benchmark: FilesBenchmark, command: str, on_line: OnLine
) -> FilesReport:
    """Run the benchmark. `command` is the command line, for the report."""
    date = datetime.now().astimezone().isoformat(timespec="seconds")
    with tempfile.TemporaryDirectory(prefix="whisperlive-bench-") as folder:
        long, clip = await anyio.to_thread.run_sync(_compose, benchmark, Path(folder))
        on_line(
            f"{long.duration / 60:g} minutes, {len(long.words)} words, language {long.language}"
        )
        async with AsyncExitStack() as stack:
            url, pid = benchmark.http_url, benchmark.server_pid
            if url:
                parse_http_url(url)  # raises the error of an invalid one before any upload
            else:
                server = await stack.enter_async_context(start_server(benchmark.model or ""))
                url, pid = server.http_url, server.pid
            wait, runs = await _measure(benchmark, url, pid, long, clip, on_line)
    return FilesReport(command=command, date=date, runs=tuple(runs), clip=wait)


def _compose(benchmark: FilesBenchmark, folder: Path) -> tuple[Recording, Recording | None]:
    corpus = Corpus.read(benchmark.clips, [benchmark.language])
    long = compose_recording(corpus, benchmark.minutes * 60, benchmark.seed, folder / "long")
    clip = compose_clip(corpus, benchmark.seed, folder / "clip") if benchmark.with_clip else None
    return long, clip


async def _measure(
    benchmark: FilesBenchmark,
    url: str,
    pid: int | None,
    long: Recording,
    clip: Recording | None,
    on_line: OnLine,
) -> tuple[ClipWait | None, list[FileRun]]:
    idle_rss_mb = read_usage(pid).rss_mb if pid is not None else None  # before the first request
    idle = await measure_idle(url, clip) if clip else []
    busy: list[float] = []
    runs: list[FileRun] = []

    def add(run: FileRun) -> None:
        runs.append(run)
        on_line(run_line(run))

    for _ in range(benchmark.rounds):
        async with send_clips(url, clip) as waits:
            add(await measure_server(url, pid, long, idle_rss_mb))
        busy += waits
        for peer in benchmark.peers:
            settings = load_settings(model=benchmark.model)
            files = ModelStore(settings.model.models_dir).get(settings.model.model)
            add(await measure_peer(peer, files.directory, long))
    return summarise_waits(idle, busy) if clip else None, runs

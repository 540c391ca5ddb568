"""The live benchmark: one load, or a search for the largest that a server holds, and its report."""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path

import anyio.to_thread
from rich.table import Table

from whisperlive_hybrid import __version__
from whisperlive_hybrid.bench.corpus import Corpus
from whisperlive_hybrid.bench.http_client import parse_http_url
from whisperlive_hybrid.bench.load import (
    LoadPlan,
    LoadResult,
    choose_next_load,
    find_capacity,
    find_shortfalls,
    run_load,
)
from whisperlive_hybrid.bench.scoring import Spread
from whisperlive_hybrid.bench.server import (
    count_cores,
    describe_machine,
    read_cpu_model,
    read_usage,
    start_server,
)
from whisperlive_hybrid.errors import BadRequest


@dataclass(frozen=True, slots=True)
class Report:
    """The results of one run of the benchmark."""

    command: str
    date: str
    """Start time, ISO 8601 with its time zone."""
    loads: tuple[LoadResult, ...]
    shortfalls: tuple[tuple[str, ...], ...]
    """For each load, the criteria that it missed; empty where it was held."""
    capacity: int | None = None
    """The largest number of streams that was held; None without a search."""


def as_json(report: Report) -> str:
    """Serialise a report; its keys are the names of the fields, delays in s, rates as shares."""
    document = {
        "format": 1,
        "version": __version__,
        "date": report.date,
        "command": report.command,
        "machine": describe_machine(),
        "loads": [
            {**asdict(load), "shortfalls": list(reasons)}
            for load, reasons in zip(report.loads, report.shortfalls, strict=True)
        ],
        "capacity": report.capacity,
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def as_table(report: Report) -> Table:
    """Return a table of the figures, one column for each load."""
    heads = (f"{load.streams}" for load in report.loads)
    table = Table(
        "streams", *heads, caption=f"{read_cpu_model()}, {count_cores()} cores; delays in s"
    )
    for name, cell in _ROWS:
        table.add_row(name, *map(cell, report.loads))
    table.add_row("held", *(", ".join(reasons) or "yes" for reasons in report.shortfalls))
    return table


def capacity_line(report: Report) -> str:
    """Return a line with the capacity; empty without a search."""
    return f"Capacity: {report.capacity} streams" if report.capacity is not None else ""


def _format_share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _format_number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _format_p50_p95(delays: Spread | None) -> str:
    return "-" if delays is None else f"{delays.p50:.2f} / {delays.p95:.2f}"


def _format_files(load: LoadResult) -> str:
    if not load.files_completed and not load.files_refused:
        return "-"
    return f"{load.files_completed} / {load.files_refused}"


_ROWS: Sequence[tuple[str, Callable[[LoadResult], str]]] = (
    ("committed WER", lambda load: _format_share(load.quality.wer)),
    ("words matched", lambda load: _format_share(load.quality.match_rate)),
    ("first display p50 / p95", lambda load: _format_p50_p95(load.quality.first_display)),
    ("stable display p50 / p95", lambda load: _format_p50_p95(load.quality.stable_display)),
    ("in stable text p50 / p95", lambda load: _format_p50_p95(load.quality.promise)),
    ("commit p50 / p95", lambda load: _format_p50_p95(load.quality.commit)),
    ("time to final p50 / p95", lambda load: _format_p50_p95(load.quality.final)),
    ("commit delay growth, s/s", lambda load: _format_number(load.quality.slope, 4)),
    ("revisions of completed text", lambda load: str(load.quality.revisions)),
    ("words invented in silence", lambda load: str(load.quality.invented_words)),
    ("refused / lost", lambda load: f"{load.refused} / {load.lost}"),
    ("segments messages", lambda load: str(load.messages)),
    ("latest chunk sent", lambda load: _format_number(load.lateness)),
    ("server CPU s per audio s", lambda load: _format_number(load.cpu_s_per_audio_s, 3)),
    ("server memory, MB", lambda load: _format_number(load.rss_mb, 0)),
    ("files done / refused", _format_files),
    ("file audio s per s", lambda load: _format_number(load.file_audio_s_per_s)),
)


OnLine = Callable[[str], None]
"""Receives lines about the progress."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """The parameters of a live benchmark."""

    plan: LoadPlan
    clips: Path
    languages: Sequence[str]
    """Languages of the clips; empty for all."""
    streams: int
    """Concurrent streams; in a search, the largest number to try."""
    is_search: bool = False
    model: str | None = None
    """Model of a server to start; None for the server of the plan."""


async def run_benchmark(benchmark: Benchmark, command: str, on_line: OnLine) -> Report:
    """Run the benchmark. `command` is the command line, for the report."""
    corpus = await anyio.to_thread.run_sync(Corpus.read, benchmark.clips, benchmark.languages)
    date = datetime.now().astimezone().isoformat(timespec="seconds")
    async with _open_server(benchmark) as plan:
        if benchmark.is_search:
            loads = await _search(plan, corpus, benchmark.streams, on_line)
        else:
            loads = [await run_load(plan, corpus, benchmark.streams)]
    reasons = tuple(find_shortfalls(load, loads[:place]) for place, load in enumerate(loads))
    held = {load.streams: not short for load, short in zip(loads, reasons, strict=True)}
    return Report(
        command=command,
        date=date,
        loads=tuple(loads),
        shortfalls=reasons,
        capacity=find_capacity(held) if benchmark.is_search else None,
    )


@asynccontextmanager
async def _open_server(benchmark: Benchmark) -> AsyncIterator[LoadPlan]:
    """Yield the plan with a running server; raises `BadRequest` for an invalid one."""
    plan = benchmark.plan
    if benchmark.model is not None:
        async with start_server(benchmark.model) as server:
            yield replace(plan, url=server.url, http_url=server.http_url, server_pid=server.pid)
        return
    if not plan.url.startswith(("ws://", "wss://")):
        raise BadRequest(f"--url is {plan.url!r}; it must be ws://host:port, or use --serve.")
    # Both are only called for the errors that they raise, before any load.
    if plan.files:
        parse_http_url(plan.http_url)
    if plan.server_pid is not None:
        read_usage(plan.server_pid)
    yield plan


async def _search(plan: LoadPlan, corpus: Corpus, limit: int, on_line: OnLine) -> list[LoadResult]:
    """Try loads until the capacity is known; return them in the order of their streams."""
    loads: list[LoadResult] = []
    held: dict[int, bool] = {}
    while (streams := choose_next_load(held, limit)) is not None:
        load = await run_load(plan, corpus, streams)
        short = find_shortfalls(load, [other for other in loads if other.streams < streams])
        loads.append(load)
        held[streams] = not short
        on_line(f"{streams} streams: {', '.join(short) or 'held'}")
    return sorted(loads, key=lambda load: load.streams)

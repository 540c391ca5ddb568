"""A whole benchmark: the server, one load or a search for the largest that is held, the report."""

import json
import platform
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path

import anyio.to_thread
from rich.table import Table

from whisperlive_hybrid import __version__
from whisperlive_hybrid.bench.corpus import Library
from whisperlive_hybrid.bench.http_client import address
from whisperlive_hybrid.bench.load import (
    LoadResult,
    Plan,
    capacity,
    next_load,
    run_load,
    shortfalls,
)
from whisperlive_hybrid.bench.scoring import Spread
from whisperlive_hybrid.bench.server import cores, cpu_model, serving, usage
from whisperlive_hybrid.errors import BadRequest


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that one run of the benchmark found out."""

    command: str
    date: str
    """When it began, ISO 8601 with its time zone."""
    loads: tuple[LoadResult, ...]
    shortfalls: tuple[tuple[str, ...], ...]
    """For each load, what kept it from being held; nothing where it was."""
    capacity: int | None = None
    """The largest number of streams that was held; None where it was not looked for."""


def as_json(report: Report) -> str:
    """Write a report; its keys are the names of the fields, delays in s, rates as shares."""
    document = {
        "format": 1,
        "version": __version__,
        "date": report.date,
        "command": report.command,
        "machine": {"cpu": cpu_model(), "cores": cores(), "python": platform.python_version()},
        "loads": [
            {**asdict(load), "shortfalls": list(reasons)}
            for load, reasons in zip(report.loads, report.shortfalls, strict=True)
        ],
        "capacity": report.capacity,
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def as_table(report: Report) -> Table:
    """Set the figures out, one column a load."""
    heads = (f"{load.streams}" for load in report.loads)
    table = Table("streams", *heads, caption=f"{cpu_model()}, {cores()} cores; delays in s")
    for name, cell in _ROWS:
        table.add_row(name, *map(cell, report.loads))
    table.add_row("held", *(", ".join(reasons) or "yes" for reasons in report.shortfalls))
    return table


def capacity_line(report: Report) -> str:
    """Say how many streams were held, if that was asked."""
    return f"Capacity: {report.capacity} streams" if report.capacity is not None else ""


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _p50_p95(delays: Spread | None) -> str:
    return "-" if delays is None else f"{delays.p50:.2f} / {delays.p95:.2f}"


def _files(load: LoadResult) -> str:
    if not load.files_completed and not load.files_refused:
        return "-"
    return f"{load.files_completed} / {load.files_refused}"


_ROWS: Sequence[tuple[str, Callable[[LoadResult], str]]] = (
    ("committed WER", lambda load: _share(load.quality.wer)),
    ("words matched", lambda load: _share(load.quality.match_rate)),
    ("first display p50 / p95", lambda load: _p50_p95(load.quality.first_display)),
    ("stable display p50 / p95", lambda load: _p50_p95(load.quality.stable_display)),
    ("in stable text p50 / p95", lambda load: _p50_p95(load.quality.promise)),
    ("commit p50 / p95", lambda load: _p50_p95(load.quality.commit)),
    ("time to final p50 / p95", lambda load: _p50_p95(load.quality.final)),
    ("commit delay growth, s/s", lambda load: _number(load.quality.slope, 4)),
    ("revisions of completed text", lambda load: str(load.quality.revisions)),
    ("words invented in silence", lambda load: str(load.quality.invented_words)),
    ("refused / lost", lambda load: f"{load.refused} / {load.lost}"),
    ("segments messages", lambda load: str(load.messages)),
    ("latest chunk sent", lambda load: _number(load.lateness)),
    ("server CPU s per audio s", lambda load: _number(load.cpu_s_per_audio_s, 3)),
    ("server memory, MB", lambda load: _number(load.rss_mb, 0)),
    ("files done / refused", _files),
    ("file audio s per s", lambda load: _number(load.file_audio_s_per_s)),
)


Say = Callable[[str], None]
"""Takes a line about the progress."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What is to be measured."""

    plan: Plan
    clips: Path
    languages: Sequence[str]
    """Of the clips; none for all."""
    streams: int
    """At once; in a search the most to be tried."""
    is_search: bool = False
    model: str | None = None
    """Of a server of our own; None for the one that the plan names."""


async def run_benchmark(benchmark: Benchmark, command: str, say: Say) -> Report:
    """Measure. `command` is how it was called, for the report."""
    library = await anyio.to_thread.run_sync(Library.read, benchmark.clips, benchmark.languages)
    date = datetime.now().astimezone().isoformat(timespec="seconds")
    async with _server(benchmark) as plan:
        if benchmark.is_search:
            loads = await _search(plan, library, benchmark.streams, say)
        else:
            loads = [await run_load(plan, library, benchmark.streams)]
    reasons = _shortfalls(loads)
    held = {load.streams: not short for load, short in zip(loads, reasons, strict=True)}
    return Report(
        command=command,
        date=date,
        loads=tuple(loads),
        shortfalls=reasons,
        capacity=capacity(held) if benchmark.is_search else None,
    )


@asynccontextmanager
async def _server(benchmark: Benchmark) -> AsyncIterator[Plan]:
    """The plan with a server that can be reached: the one it names, or one of our own."""
    plan = benchmark.plan
    if benchmark.model is None:
        _check(plan)
        yield plan
        return
    async with serving(benchmark.model) as server:
        yield replace(plan, url=server.url, http_url=server.http_url, server_pid=server.pid)


def _check(plan: Plan) -> None:
    """Raise `BadRequest`, before any load, where the plan names no server or no process."""
    if not plan.url.startswith(("ws://", "wss://")):
        raise BadRequest(f"--url is {plan.url!r}; it must be ws://host:port, or use --serve.")
    if plan.files:
        address(plan.http_url)
    if plan.server_pid is not None:
        usage(plan.server_pid)


async def _search(plan: Plan, library: Library, limit: int, say: Say) -> list[LoadResult]:
    """Try loads until the capacity is known; in the order of their streams."""
    loads: list[LoadResult] = []
    held: dict[int, bool] = {}
    while (streams := next_load(held, limit)) is not None:
        load = await run_load(plan, library, streams)
        short = shortfalls(load, [other for other in loads if other.streams < streams])
        loads.append(load)
        held[streams] = not short
        say(f"{streams} streams: {', '.join(short) or 'held'}")
    return sorted(loads, key=lambda load: load.streams)


def _shortfalls(loads: Sequence[LoadResult]) -> tuple[tuple[str, ...], ...]:
    """What kept each load from being held; `loads` in the order of their streams."""
    return tuple(shortfalls(load, loads[:place]) for place, load in enumerate(loads))

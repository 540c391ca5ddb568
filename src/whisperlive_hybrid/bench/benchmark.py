"""A whole benchmark: the server, one load or a search for the largest that is held, the report."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import anyio.to_thread

from whisperlive_hybrid.bench.capacity import capacity, next_load, shortfalls
from whisperlive_hybrid.bench.files import address
from whisperlive_hybrid.bench.load import LoadResult, Plan, run_load
from whisperlive_hybrid.bench.machine import usage
from whisperlive_hybrid.bench.material import Library
from whisperlive_hybrid.bench.report import Report
from whisperlive_hybrid.bench.serving import serving
from whisperlive_hybrid.errors import BadRequest

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

"""The idle-load test: one stream before, during and after a load of clients that do nothing."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
from load_tests.idle_clients import IdleClients, Presence, connect_idle_clients
from rich.table import Table

from whisperlive_hybrid.bench.corpus import Corpus
from whisperlive_hybrid.bench.load import LoadPlan, LoadResult, run_load
from whisperlive_hybrid.bench.scoring import Spread
from whisperlive_hybrid.bench.server import (
    count_cores,
    count_open_files,
    describe_machine,
    read_cpu_model,
    read_usage,
    start_server,
)
from whisperlive_hybrid.errors import BadRequest

MOST_SLOWER: Final = 1.25
"""Largest allowed delay during the load, over that before."""

MOST_GROWTH: Final = 1.05
"""Largest allowed memory after the load, over that before."""

WARM_UP_S: Final = 20.0
"""Speech before the first measurement: first calls allocate memory that stays."""

CONNECT_S: Final = 60.0
"""Timeout for all idle clients to connect."""

LEAVING_S: Final = 5.0
"""Pause after they have left, for the server to notice closed connections."""

OnLine = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Phase:
    """The figures of one stream, and of the server at its end."""

    name: str
    load: LoadResult
    rss_mb: float
    open_files: int


@dataclass(frozen=True, slots=True)
class IdleLoadReport:
    """The result of the test."""

    crowd: IdleClients
    present: tuple[int, int]
    """Idle clients and uploads that were connected when the stream ended."""
    sent_away: int
    """Number of rejected or closed connections."""
    phases: tuple[Phase, ...]
    """Before, during, after."""

    def ratios(self, phase: int) -> dict[str, float | None]:
        """Return the delays of a phase over those before; None where one is missing."""
        before = dict(_compared_delays(self.phases[0].load))
        ratios: dict[str, float | None] = {}
        for name, delay in _compared_delays(self.phases[phase].load):
            base = before[name]
            ratios[name] = delay / base if delay is not None and base else None
        return ratios

    @property
    def growth(self) -> float:
        """Memory after the load over that before."""
        return self.phases[2].rss_mb / self.phases[0].rss_mb

    @property
    def shortfalls(self) -> tuple[str, ...]:
        """The criteria that the server missed; empty if it passed."""
        slower = [
            f"{name} {ratio:.2f} times that before" if ratio else f"{name} is missing"
            for name, ratio in self.ratios(1).items()
            if ratio is None or ratio > MOST_SLOWER
        ]
        checks = (
            (
                self.present != (self.crowd.idle, self.crowd.uploads),
                "not all clients were connected",
            ),
            (self.growth > MOST_GROWTH, f"memory {self.growth:.3f} times that before"),
            (self.phases[2].open_files > self.phases[0].open_files, "files are left open"),
        )
        return (*slower, *(reason for failed, reason in checks if failed))


@dataclass(frozen=True, slots=True)
class IdleLoadTest:
    """The parameters of the test."""

    plan: LoadPlan
    clips: Path
    languages: Sequence[str]
    crowd: IdleClients
    model: str | None = None
    """Model of a server to start; None for the server of the plan."""

    async def run(self, on_line: OnLine) -> IdleLoadReport:
        """Run the test; raises `BadRequest`."""
        corpus = await anyio.to_thread.run_sync(Corpus.read, self.clips, self.languages)
        if self.model is None:
            return await run_idle_load(self.plan, corpus, self.crowd, on_line)
        async with start_server(self.model) as ours:
            plan = replace(self.plan, url=ours.url, http_url=ours.http_url, server_pid=ours.pid)
            return await run_idle_load(plan, corpus, self.crowd, on_line)


async def run_idle_load(
    plan: LoadPlan, corpus: Corpus, crowd: IdleClients, on_line: OnLine
) -> IdleLoadReport:
    """Run the test. Raises `BadRequest` without a process whose memory and files can be read."""
    if plan.server_pid is None:
        raise BadRequest("The test needs --server-pid, to measure memory and open files.")
    await run_load(replace(plan, seconds=WARM_UP_S), corpus, 1)
    before = await _phase("before", plan, corpus)
    on_line(f"before: {before.rss_mb:.0f} MB, {before.open_files} files")
    presence = Presence(crowd)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(connect_idle_clients, plan.url, plan.http_url, presence)
        with anyio.move_on_after(CONNECT_S):
            await presence.all_connected.wait()
        on_line(f"{presence.idle} idle clients and {presence.uploads} uploads are connected")
        during = await _phase("during", plan, corpus)
        present = (presence.idle, presence.uploads)
        tasks.cancel_scope.cancel()
    await anyio.sleep(LEAVING_S / plan.speed)
    after = await _phase("after", plan, corpus)
    return IdleLoadReport(crowd, present, presence.sent_away, (before, during, after))


async def _phase(name: str, plan: LoadPlan, corpus: Corpus) -> Phase:
    load = await run_load(plan, corpus, 1)
    pid = plan.server_pid or 0
    return Phase(name, load, read_usage(pid).rss_mb, count_open_files(pid))


def _compared_delays(load: LoadResult) -> Iterator[tuple[str, float | None]]:
    """Yield the compared delays: median and 95th percentile of display, commit and final."""
    spreads: dict[str, Spread | None] = {
        "first display": load.quality.first_display,
        "commit": load.quality.commit,
        "time to final": load.quality.final,
    }
    for name, spread in spreads.items():
        yield f"{name} p50", spread.p50 if spread else None
        yield f"{name} p95", spread.p95 if spread else None


def as_table(report: IdleLoadReport) -> Table:
    """Return a table of the figures, one column for each phase."""
    title = f"{report.crowd.idle} idle clients, {report.crowd.uploads} slow uploads"
    table = Table(title, *(phase.name for phase in report.phases), "during / before")
    ratios = report.ratios(1)
    for name in ratios:
        cells = (dict(_compared_delays(phase.load))[name] for phase in report.phases)
        table.add_row(f"{name}, s", *map(_format_number, cells), _format_number(ratios[name]))
    table.add_row("memory, MB", *(f"{phase.rss_mb:.0f}" for phase in report.phases))
    table.add_row("open files", *(str(phase.open_files) for phase in report.phases))
    table.caption = (
        f"{read_cpu_model()}, {count_cores()} cores; {report.sent_away} connections lost"
    )
    return table


def format_verdict(report: IdleLoadReport) -> str:
    """Return a line: passed, or the criteria that were missed."""
    if not report.shortfalls:
        return "Passed."
    return f"Not passed: {', '.join(report.shortfalls)}."


def as_json(report: IdleLoadReport, command: str) -> str:
    """Serialise a report; its keys are the names of the fields."""
    document = {
        "format": 1,
        "command": command,
        "machine": describe_machine(),
        **asdict(report),
        "ratios": {phase.name: report.ratios(n) for n, phase in enumerate(report.phases)},
        "growth": report.growth,
        "shortfalls": list(report.shortfalls),
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _format_number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"

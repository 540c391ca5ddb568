"""A siege: one stream before, during and after a crowd that only takes room, and what it costs."""

import json
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
from load_tests.idle_clients import Crowd, Presence, besiege
from rich.table import Table

from whisperlive_hybrid.bench.corpus import Corpus
from whisperlive_hybrid.bench.load import LoadPlan, LoadResult, run_load
from whisperlive_hybrid.bench.scoring import Spread
from whisperlive_hybrid.bench.server import cores, cpu_model, open_files, read_usage, start_server
from whisperlive_hybrid.errors import BadRequest

MOST_SLOWER: Final = 1.25
"""Times its delay without a crowd that a stream may have with it."""

MOST_GROWTH: Final = 1.05
"""Times its memory before that a server may keep afterwards."""

WARM_UP_S: Final = 20.0
"""Of speech before anything is measured: first calls allocate what stays."""

GATHERING_S: Final = 60.0
"""For the crowd to come in."""

LEAVING_S: Final = 5.0
"""After it has gone, until the server is looked at: it has to notice."""

OnLine = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Phase:
    """One stream, and the server at its end."""

    name: str
    load: LoadResult
    rss_mb: float
    open_files: int


@dataclass(frozen=True, slots=True)
class SiegeReport:
    """What became of it."""

    crowd: Crowd
    present: tuple[int, int]
    """Idle clients and uploads that were there when the stream ended."""
    sent_away: int
    phases: tuple[Phase, ...]
    """Before, during, after."""

    def ratios(self, phase: int) -> dict[str, float | None]:
        """The delays of a phase over those before."""
        before = dict(_delays(self.phases[0].load))
        return {
            name: _ratio(delay, before[name]) for name, delay in _delays(self.phases[phase].load)
        }

    @property
    def growth(self) -> float:
        """Memory after the siege over that before."""
        return self.phases[2].rss_mb / self.phases[0].rss_mb

    @property
    def shortfalls(self) -> tuple[str, ...]:
        """What keeps the siege from being withstood; nothing if it was."""
        slower = [
            f"{name} {ratio:.2f} times that before" if ratio else f"{name} is missing"
            for name, ratio in self.ratios(1).items()
            if ratio is None or ratio > MOST_SLOWER
        ]
        checks = (
            (self.present != (self.crowd.idle, self.crowd.uploads), "not all of them were there"),
            (self.growth > MOST_GROWTH, f"memory {self.growth:.3f} times that before"),
            (self.phases[2].open_files > self.phases[0].open_files, "files are left open"),
        )
        return (*slower, *(reason for failed, reason in checks if failed))


@dataclass(frozen=True, slots=True)
class Besieged:
    """What is to be measured, and on which server."""

    plan: LoadPlan
    clips: Path
    languages: Sequence[str]
    crowd: Crowd
    model: str | None = None
    """Of a server of our own; None for the one that the plan names."""

    async def run(self, on_line: OnLine) -> SiegeReport:
        """Measure; raises `BadRequest`."""
        corpus = await anyio.to_thread.run_sync(Corpus.read, self.clips, self.languages)
        if self.model is None:
            return await run_siege(self.plan, corpus, self.crowd, on_line)
        async with start_server(self.model) as ours:
            plan = replace(self.plan, url=ours.url, http_url=ours.http_url, server_pid=ours.pid)
            return await run_siege(plan, corpus, self.crowd, on_line)


async def run_siege(plan: LoadPlan, corpus: Corpus, crowd: Crowd, on_line: OnLine) -> SiegeReport:
    """Measure. Raises `BadRequest` if the process cannot be seen, or the crowd is not let in."""
    if plan.server_pid is None:
        raise BadRequest("A siege needs --server-pid, whose memory and files it counts.")
    await run_load(replace(plan, seconds=WARM_UP_S), corpus, 1)
    before = await _phase("before", plan, corpus)
    on_line(f"before: {before.rss_mb:.0f} MB, {before.open_files} files")
    presence = Presence(crowd)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(besiege, plan.url, plan.http_url, presence)
        with anyio.move_on_after(GATHERING_S):
            await presence.all_there.wait()
        on_line(f"{presence.idle} idle clients and {presence.uploads} uploads are there")
        during = await _phase("during", plan, corpus)
        present = (presence.idle, presence.uploads)
        tasks.cancel_scope.cancel()
    await anyio.sleep(LEAVING_S / plan.speed)
    after = await _phase("after", plan, corpus)
    return SiegeReport(crowd, present, presence.sent_away, (before, during, after))


async def _phase(name: str, plan: LoadPlan, corpus: Corpus) -> Phase:
    load = await run_load(plan, corpus, 1)
    pid = plan.server_pid or 0
    return Phase(name, load, read_usage(pid).rss_mb, open_files(pid))


def _delays(load: LoadResult) -> Iterator[tuple[str, float | None]]:
    """The delays that are compared: the usual one and the long one, shown and completed."""
    spreads: dict[str, Spread | None] = {
        "first display": load.quality.first_display,
        "commit": load.quality.commit,
        "time to final": load.quality.final,
    }
    for name, spread in spreads.items():
        yield f"{name} p50", spread.p50 if spread else None
        yield f"{name} p95", spread.p95 if spread else None


def _ratio(delay: float | None, before: float | None) -> float | None:
    return delay / before if delay is not None and before else None


def siege_table(report: SiegeReport) -> Table:
    """The figures, one column a phase."""
    title = f"{report.crowd.idle} idle clients, {report.crowd.uploads} slow uploads"
    table = Table(title, *(phase.name for phase in report.phases), "during / before")
    ratios = report.ratios(1)
    for name in ratios:
        cells = (dict(_delays(phase.load))[name] for phase in report.phases)
        table.add_row(f"{name}, s", *map(_number, cells), _number(ratios[name]))
    table.add_row("memory, MB", *(f"{phase.rss_mb:.0f}" for phase in report.phases))
    table.add_row("open files", *(str(phase.open_files) for phase in report.phases))
    table.caption = f"{cpu_model()}, {cores()} cores; sent away {report.sent_away} times"
    return table


def siege_verdict(report: SiegeReport) -> str:
    """Whether it was withstood, in a line."""
    if not report.shortfalls:
        return "Withstood."
    return f"Not withstood: {', '.join(report.shortfalls)}."


def siege_json(report: SiegeReport, command: str) -> str:
    """Write a report; its keys are the names of the fields."""
    document = {
        "format": 1,
        "command": command,
        "machine": {"cpu": cpu_model(), "cores": cores(), "python": platform.python_version()},
        **asdict(report),
        "ratios": {phase.name: report.ratios(n) for n, phase in enumerate(report.phases)},
        "growth": report.growth,
        "shortfalls": list(report.shortfalls),
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"

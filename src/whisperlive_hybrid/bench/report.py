"""The results of a benchmark, as a table and as JSON."""

import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from rich.table import Table

from whisperlive_hybrid import __version__
from whisperlive_hybrid.bench.load import LoadResult
from whisperlive_hybrid.bench.machine import cores, cpu_model
from whisperlive_hybrid.bench.metrics import Spread


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

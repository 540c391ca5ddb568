"""The figures of the HTTP server and of its peers, as a table with ratios and as JSON."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.table import Table

from whisperlive_hybrid import __version__
from whisperlive_hybrid.bench.file_run import ClipWait, FileRun
from whisperlive_hybrid.bench.server import count_cores, describe_machine, read_cpu_model


@dataclass(frozen=True, slots=True)
class FilesReport:
    """The results of one run of the benchmark."""

    command: str
    date: str
    """Start time, ISO 8601 with its time zone."""
    runs: tuple[FileRun, ...]
    """In the order in which they were made; the first is our own."""
    clip: ClipWait | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """The medians of all runs of one reader."""

    reader: str
    runs: int
    seconds: float
    speed: float
    """Audio seconds per second."""
    wer: float
    cpu_s: float | None
    idle_rss_mb: float | None
    growth_mb: float | None
    """Memory at its peak above the idle process."""
    times_ours: float
    """Seconds, as a multiple of those of the first reader."""


def summaries(runs: Sequence[FileRun]) -> list[Summary]:
    """Summarise the runs of each reader, in the order of their first runs."""
    groups: dict[str, list[FileRun]] = {}
    for run in runs:
        groups.setdefault(run.reader, []).append(run)
    medians = {
        reader: statistics.median(run.seconds for run in group) for reader, group in groups.items()
    }
    ours = next(iter(medians.values()), 0.0)
    return [
        Summary(
            reader=reader,
            runs=len(group),
            seconds=medians[reader],
            speed=group[0].audio_s / medians[reader],
            wer=statistics.median(run.wer for run in group),
            cpu_s=_median([run.cpu_s for run in group]),
            idle_rss_mb=_median([run.idle_rss_mb for run in group]),
            growth_mb=_median([run.growth_mb for run in group]),
            times_ours=medians[reader] / ours,
        )
        for reader, group in groups.items()
    ]


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def as_json(report: FilesReport) -> str:
    """Serialise a report; its keys are the names of the fields, times in s, rates as shares."""
    document = {
        "format": 1,
        "version": __version__,
        "date": report.date,
        "command": report.command,
        "machine": describe_machine(),
        "runs": [asdict(run) for run in report.runs],
        "summary": [asdict(summary) for summary in summaries(report.runs)],
        "clip": {**asdict(report.clip), "ratio": report.clip.ratio} if report.clip else None,
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def as_table(report: FilesReport) -> Table:
    """Return a table of the medians, one row for each reader."""
    heads = (
        "reader",
        "runs",
        "s",
        "audio s per s",
        "WER",
        "CPU s",
        "idle MB",
        "+ MB",
        "times ours",
    )
    table = Table(*heads, caption=f"{read_cpu_model()}, {count_cores()} cores; medians")
    for summary in summaries(report.runs):
        table.add_row(
            summary.reader,
            str(summary.runs),
            _format_number(summary.seconds, 1),
            _format_number(summary.speed, 1),
            f"{summary.wer:.1%}",
            _format_number(summary.cpu_s, 1),
            _format_number(summary.idle_rss_mb),
            _format_number(summary.growth_mb),
            _format_number(summary.times_ours, 2),
        )
    return table


def run_line(run: FileRun) -> str:
    """Return a line about a finished run."""
    return (
        f"{run.reader}: {run.seconds:.1f} s, {run.speed:.1f} audio s per s, WER {run.wer:.1%}, "
        f"CPU {_format_number(run.cpu_s, 1)} s, memory + {_format_number(run.growth_mb)} MB"
    )


def clip_line(report: FilesReport) -> str:
    """Return a line about the short clip; empty without one."""
    if report.clip is None:
        return ""
    clip = report.clip
    return (
        f"3 s clip: {clip.idle_s:.2f} s idle, {_format_number(clip.busy_s, 2)} s while the "
        f"recording is transcribed ({clip.n_busy} clips, {_format_number(clip.ratio, 2)} times)"
    )


def _format_number(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:.{digits}f}"

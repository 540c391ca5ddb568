"""The figures of the file door and of its peers, as a table with ratios and as JSON."""

import json
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.table import Table

from whisperlive_hybrid import __version__
from whisperlive_hybrid.bench.file_run import ClipWait, FileRun
from whisperlive_hybrid.bench.server import cores, cpu_model


@dataclass(frozen=True, slots=True)
class FilesReport:
    """Everything that one run of the benchmark found out."""

    command: str
    date: str
    """When it began, ISO 8601 with its time zone."""
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
    """Seconds, as a multiple of what the first reader took."""


def summaries(runs: Sequence[FileRun]) -> list[Summary]:
    """One for each reader, in the order of their first runs."""
    readers = list(dict.fromkeys(run.reader for run in runs))
    grouped = [[run for run in runs if run.reader == reader] for reader in readers]
    ours = statistics.median(run.seconds for run in grouped[0]) if grouped else 0.0
    return [_summary(group, ours) for group in grouped]


def _summary(runs: Sequence[FileRun], ours: float) -> Summary:
    seconds = statistics.median(run.seconds for run in runs)
    return Summary(
        reader=runs[0].reader,
        runs=len(runs),
        seconds=seconds,
        speed=runs[0].audio_s / seconds,
        wer=statistics.median(run.wer for run in runs),
        cpu_s=_median([run.cpu_s for run in runs]),
        idle_rss_mb=_median([run.idle_rss_mb for run in runs]),
        growth_mb=_median([run.growth_mb for run in runs]),
        times_ours=seconds / ours,
    )


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def as_json(report: FilesReport) -> str:
    """Write a report; its keys are the names of the fields, times in s, rates as shares."""
    document = {
        "format": 1,
        "version": __version__,
        "date": report.date,
        "command": report.command,
        "machine": {"cpu": cpu_model(), "cores": cores(), "python": platform.python_version()},
        "runs": [asdict(run) for run in report.runs],
        "summary": [asdict(summary) for summary in summaries(report.runs)],
        "clip": {**asdict(report.clip), "ratio": report.clip.ratio} if report.clip else None,
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def as_table(report: FilesReport) -> Table:
    """Set the medians out, one row a reader."""
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
    table = Table(*heads, caption=f"{cpu_model()}, {cores()} cores; medians")
    for each in summaries(report.runs):
        table.add_row(
            each.reader,
            str(each.runs),
            _number(each.seconds, 1),
            _number(each.speed, 1),
            f"{each.wer:.1%}",
            _number(each.cpu_s, 1),
            _number(each.idle_rss_mb),
            _number(each.growth_mb),
            _number(each.times_ours, 2),
        )
    return table


def run_line(run: FileRun) -> str:
    """One run, told when it is over."""
    return (
        f"{run.reader}: {run.seconds:.1f} s, {run.speed:.1f} audio s per s, WER {run.wer:.1%}, "
        f"CPU {_number(run.cpu_s, 1)} s, memory + {_number(run.growth_mb)} MB"
    )


def clip_line(report: FilesReport) -> str:
    """How long a short clip took, if that was asked."""
    if report.clip is None:
        return ""
    clip = report.clip
    return (
        f"3 s clip: {clip.idle_s:.2f} s idle, {_number(clip.busy_s, 2)} s while the recording is "
        f"read ({clip.n_busy} clips, {_number(clip.ratio, 2)} times)"
    )


def _number(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:.{digits}f}"

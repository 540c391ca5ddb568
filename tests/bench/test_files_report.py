"""Medians and ratios of the HTTP server's benchmark."""

import io
import json

import pytest
from rich.console import Console

from whisperlive_hybrid.bench.file_run import ClipWait, FileRun, summarise_waits
from whisperlive_hybrid.bench.files_report import (
    FilesReport,
    as_json,
    as_table,
    clip_line,
    run_line,
    summaries,
)


def _run(reader: str, seconds: float, peak_rss_mb: float | None = 350.0) -> FileRun:
    return FileRun(reader, 60.0, seconds, 0.05, 9.0, 200.0, peak_rss_mb)


RUNS = (
    _run("HTTP server", 10),
    _run("peer", 20),
    _run("HTTP server", 14),
    _run("peer", 50),
    _run("HTTP server", 12),
    _run("peer", 30),
)


def test_ratios_are_those_of_the_medians() -> None:
    """12 s against 30 s; an outlier moves neither."""
    ours, peer = summaries(RUNS)
    assert (ours.seconds, ours.speed, ours.times_ours, ours.runs) == (12, 5.0, 1.0, 3)
    assert (peer.seconds, peer.times_ours) == (30, 2.5)


def test_memory_counts_from_the_idle_process() -> None:
    """350 MB at the peak are 150 above 200; a server out of sight has no figure."""
    assert summaries([_run("HTTP server", 10)])[0].growth_mb == 150.0
    assert summaries([_run("HTTP server", 10, None)])[0].growth_mb is None


def test_a_clip_is_judged_by_its_median_wait() -> None:
    """Twice as long while a file is read; none at all if the file was over too soon."""
    assert summarise_waits([0.1, 0.2, 0.9], [0.3, 0.4, 2.0]).ratio == pytest.approx(2.0)
    assert summarise_waits([0.2], []) == ClipWait(0.2, None, 0)
    assert summarise_waits([0.2], []).ratio is None


def test_the_report_can_be_read_by_people_and_programs() -> None:
    """Table, lines and JSON show the same figures."""
    report = FilesReport("whisperlive bench files", "2026-11-25", RUNS, ClipWait(0.2, 0.3, 4))
    console = Console(file=io.StringIO(), width=200)
    console.print(as_table(report))
    assert isinstance(console.file, io.StringIO)
    assert "2.50" in console.file.getvalue()
    assert run_line(RUNS[0]).startswith("HTTP server: 10.0 s, 6.0 audio s per s, WER 5.0%")
    assert clip_line(report).endswith("(4 clips, 1.50 times)")
    document = json.loads(as_json(report))
    assert document["summary"][1]["times_ours"] == 2.5
    assert len(document["runs"]) == 6
    assert document["clip"]["ratio"] == pytest.approx(1.5)

"""The benchmark of the HTTP server, end to end with the demo model."""

from pathlib import Path

import pytest

from whisperlive_hybrid.bench.files import FilesBenchmark, run_files_benchmark
from whisperlive_hybrid.bench.peers import PEERS

pytestmark = pytest.mark.anyio


async def test_half_a_minute_is_read_by_both(clip_folder: Path) -> None:
    """Our server and a peer read the same recording; everything asked for has a figure."""
    said: list[str] = []
    report = await run_files_benchmark(
        FilesBenchmark(
            clips=clip_folder,
            language="en",
            minutes=0.5,
            model="demo",
            peers=[PEERS["batched-10"]],
            with_clip=True,
        ),
        "whisperlive bench files",
        said.append,
    )
    ours, peer = report.runs
    assert [ours.reader, peer.reader] == ["HTTP server", PEERS["batched-10"].name]
    assert ours.audio_s == peer.audio_s == 30.0
    assert ours.wer <= peer.wer
    assert ours.wer < 0.1
    assert ours.cpu_s
    assert ours.peak_rss_mb
    assert report.clip is not None
    assert report.clip.idle_s > 0
    assert len(said) == 3

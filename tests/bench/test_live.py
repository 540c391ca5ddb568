"""Whole benchmarks against a scripted server, a thousand times faster than speech."""

import io
import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest
from rich.console import Console
from scripted_server import Script, run_script
from websockets.asyncio.server import ServerConnection

from whisperlive_hybrid.bench.live import (
    Benchmark,
    Report,
    as_json,
    as_table,
    capacity_line,
    run_benchmark,
)
from whisperlive_hybrid.bench.load import LoadPlan, LoadResult
from whisperlive_hybrid.errors import BadRequest

pytestmark = pytest.mark.anyio


def _open_server(places: int = 100) -> Script:
    """A server with so many places that writes "Hello." for everything, at the end."""
    taken = 0

    async def script(socket: ServerConnection) -> None:
        nonlocal taken
        uid = json.loads(await socket.recv())["uid"]
        if taken >= places:
            await socket.send(json.dumps({"uid": uid, "status": "WAIT", "message": 1.0}))
            return
        taken += 1
        await socket.send(json.dumps({"uid": uid, "message": "SERVER_READY"}))
        async for frame in socket:
            if frame == b"END_OF_AUDIO":
                break
        segment = {"start": "0.000", "end": "1.000", "text": " Hello.", "completed": True}
        await socket.send(json.dumps({"uid": uid, "segments": [segment]}))

    return script


def _benchmark(clips: Path, plan: LoadPlan, streams: int, *, is_search: bool = False) -> Benchmark:
    return Benchmark(plan, clips, ["en"], streams, is_search)


async def _run(benchmark: Benchmark) -> tuple[Report, list[str]]:
    said: list[str] = []
    return await run_benchmark(benchmark, "whisperlive bench live", said.append), said


async def test_every_stream_is_counted(clip_folder: Path) -> None:
    """Of three streams two find a place; the third is refused, and its words are missing."""
    async with run_script(_open_server(places=2)) as url:
        plan = LoadPlan(url, seconds=10, speed=1000, server_pid=os.getpid())
        report, _ = await _run(_benchmark(clip_folder, plan, 3))
    (load,) = report.loads
    assert (load.streams, load.refused, load.lost) == (3, 1, 0)
    assert load.reasons == ("WAIT: 1.0",)
    assert load.messages == 2
    assert load.quality.wer == 1.0
    assert load.rss_mb
    assert load.cpu_s_per_audio_s is not None


async def test_a_search_reports_each_load(clip_folder: Path) -> None:
    """A server that writes nothing right holds not even one stream."""
    async with run_script(_open_server()) as url:
        plan = LoadPlan(url, seconds=10, speed=1000)
        report, said = await _run(_benchmark(clip_folder, plan, 8, is_search=True))
    assert report.capacity == 0
    assert said == ["1 streams: no words"]
    assert capacity_line(report) == "Capacity: 0 streams"


async def test_json_has_every_figure(clip_folder: Path) -> None:
    """The document names machine, command and date, and each load with all its fields."""
    async with run_script(_open_server()) as url:
        report, _ = await _run(_benchmark(clip_folder, LoadPlan(url, seconds=10, speed=1000), 1))
    document = json.loads(as_json(report))
    assert list(document) == [
        *("format", "version", "date", "command", "machine", "loads", "capacity")
    ]
    assert set(document["machine"]) == {"cpu", "cores", "python"}
    assert set(document["loads"][0]) == {*LoadResult.__slots__, "shortfalls"}
    assert set(document["loads"][0]["quality"]) == set(asdict(report.loads[0].quality))
    assert document["capacity"] is None


async def test_the_table_has_a_column_for_each_load(clip_folder: Path) -> None:
    """What has no figure is a dash, and never a number."""
    async with run_script(_open_server()) as url:
        report, _ = await _run(_benchmark(clip_folder, LoadPlan(url, seconds=10, speed=1000), 1))
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(as_table(report))
    text = console.export_text()
    assert "committed WER" in text
    assert "100.0%" in text
    assert "no words" in text
    assert "- " in text


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (LoadPlan("http://host"), "--url is 'http://host'"),
        (LoadPlan("ws://host", files=1), "--http-url is ''"),
        (LoadPlan("ws://host", server_pid=0), "--server-pid 0"),
    ],
)
async def test_a_plan_without_a_server_is_refused(
    clip_folder: Path, plan: LoadPlan, message: str
) -> None:
    """Before anything is sent, and naming the option."""
    with pytest.raises(BadRequest, match=message):
        await _run(_benchmark(clip_folder, plan, 1))

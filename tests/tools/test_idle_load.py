"""Sieges of a scripted server, a thousand times faster than speech."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
import anyio.abc
import pytest
from load_tests import idle_load as sieges
from load_tests.__main__ import app
from load_tests.idle_clients import Crowd
from load_tests.idle_load import SiegeReport, run_siege, siege_json, siege_table, siege_verdict
from scripted_server import run_script
from typer.testing import CliRunner
from websockets.asyncio.server import ServerConnection

from whisperlive_hybrid.bench.corpus import Corpus
from whisperlive_hybrid.bench.load import LoadPlan
from whisperlive_hybrid.errors import BadRequest

pytestmark = pytest.mark.anyio


@dataclass
class Town:
    """A server that answers the one who speaks, and counts who else is there."""

    url: str = ""
    http_url: str = ""
    places: int = 100
    clients: int = 0
    uploads: int = 0
    most: list[tuple[int, int]] = field(default_factory=list)

    async def live(self, socket: ServerConnection) -> None:
        """Write "Hello." for whoever comes to an end of audio."""
        uid = json.loads(await socket.recv())["uid"]
        if self.clients >= self.places:
            await socket.send(json.dumps({"uid": uid, "status": "WAIT", "message": 1.0}))
            return
        await socket.send(json.dumps({"uid": uid, "message": "SERVER_READY"}))
        self.clients += 1
        try:
            async for frame in socket:
                if frame == b"END_OF_AUDIO":
                    self.most.append((self.clients - 1, self.uploads))
                    break
        finally:
            self.clients -= 1
        segment = {"start": "0.000", "end": "1.000", "text": " Hello.", "completed": True}
        await socket.send(json.dumps({"uid": uid, "segments": [segment]}))

    async def files(self, socket: anyio.abc.SocketStream) -> None:
        """Take an upload, for ever."""
        self.uploads += 1
        try:
            async for _ in socket:
                pass
        finally:
            self.uploads -= 1
            await socket.aclose()


@asynccontextmanager
async def town(places: int = 100) -> AsyncIterator[Town]:
    """It is there while inside."""
    built = Town(places=places)
    async with (
        run_script(built.live) as url,
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, built.files)
        built.url = url
        (bound,) = listener.listeners
        port = bound.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610 (no Django here)
        built.http_url = f"http://127.0.0.1:{port}"
        yield built
        tasks.cancel_scope.cancel()


async def besieged(target: Town, clips: Path, crowd: Crowd) -> SiegeReport:
    """Besiege it; this process is the one that is looked at."""
    plan = LoadPlan(
        target.url, seconds=10, http_url=target.http_url, server_pid=os.getpid(), speed=1000
    )
    return await run_siege(plan, Corpus.read(clips, ["en"]), crowd, lambda _: None)


async def test_the_crowd_is_there_in_the_middle_alone(clip_folder: Path) -> None:
    """The stream is spoken before it comes, while all of it is there, and when it has gone."""
    async with town() as target:
        report = await besieged(target, clip_folder, Crowd(idle=5, uploads=3))
        assert target.most == [(0, 0), (0, 0), (5, 3), (0, 0)]  # the first is the warm-up
    assert (report.present, report.sent_away) == ((5, 3), 0)
    assert [phase.name for phase in report.phases] == ["before", "during", "after"]
    during, after = report.phases[1:]
    assert during.open_files >= after.open_files + 16  # both ends of each connection are ours


async def test_a_crowd_that_is_not_let_in_is_no_siege(
    clip_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that sends most of them away is told so, not praised."""
    monkeypatch.setattr(sieges, "GATHERING_S", 0.1)
    async with town(places=3) as target:
        report = await besieged(target, clip_folder, Crowd(idle=5, uploads=0))
    assert report.sent_away > 0
    assert "not all of them were there" in report.shortfalls


async def test_what_falls_short_is_told(clip_folder: Path) -> None:
    """Delay, memory and files each have a bound, and each its words."""
    async with town() as target:
        report = await besieged(target, clip_folder, Crowd(idle=1, uploads=0))
    before, during, after = report.phases
    worse = replace(
        report,
        phases=(before, during, replace(after, rss_mb=2 * before.rss_mb, open_files=10**6)),
    )
    assert "memory 2.000 times that before" in worse.shortfalls
    assert "files are left open" in worse.shortfalls
    assert siege_verdict(worse).startswith("Not withstood: ")
    document = json.loads(siege_json(worse, "python -m load_tests idle-load"))
    assert document["growth"] == 2
    assert document["phases"][2]["open_files"] == 10**6
    assert siege_table(report).row_count == 8


async def test_a_process_must_be_seen(clip_folder: Path) -> None:
    """Memory and files are half of what is asked."""
    corpus = Corpus.read(clip_folder, ["en"])
    with pytest.raises(BadRequest, match="--server-pid"):
        await run_siege(LoadPlan("ws://x"), corpus, Crowd(0, 0), lambda _: None)


def test_a_server_must_be_named(clip_folder: Path) -> None:
    """Neither none nor two."""
    for options in ([], ["--serve", "--url", "ws://127.0.0.1:1"]):
        result = CliRunner().invoke(app, ["idle-load", "--clips", str(clip_folder), *options])
        assert isinstance(result.exception, BadRequest)
        assert "or use --serve" in result.exception.message

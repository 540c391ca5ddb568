"""Idle-load tests of a fake server, a thousand times faster than real time."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
import anyio.abc
import pytest
from load_tests import idle_load
from load_tests.__main__ import app
from load_tests.idle_clients import IdleClients
from load_tests.idle_load import IdleLoadReport, as_json, as_table, format_verdict, run_idle_load
from scripted_server import run_script
from typer.testing import CliRunner
from websockets.asyncio.server import ServerConnection

from whisperlive_hybrid.bench.corpus import Corpus
from whisperlive_hybrid.bench.load import LoadPlan
from whisperlive_hybrid.errors import BadRequest

pytestmark = pytest.mark.anyio


@dataclass
class FakeServer:
    """A server that transcribes one stream and counts its other clients."""

    url: str = ""
    http_url: str = ""
    places: int = 100
    clients: int = 0
    uploads: int = 0
    most: list[tuple[int, int]] = field(default_factory=list)

    async def live(self, socket: ServerConnection) -> None:
        """Send "Hello." after END_OF_AUDIO."""
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
        """Receive an upload until it is closed."""
        self.uploads += 1
        try:
            async for _ in socket:
                pass
        finally:
            self.uploads -= 1
            await socket.aclose()


@asynccontextmanager
async def fake_server(places: int = 100) -> AsyncIterator[FakeServer]:
    """Run the server."""
    server = FakeServer(places=places)
    async with (
        run_script(server.live) as url,
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, server.files)
        server.url = url
        (bound,) = listener.listeners
        port = bound.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610 (no Django here)
        server.http_url = f"http://127.0.0.1:{port}"
        yield server
        tasks.cancel_scope.cancel()


async def run_test(target: FakeServer, clips: Path, crowd: IdleClients) -> IdleLoadReport:
    """Run the test; the measured process is this one."""
    plan = LoadPlan(
        target.url, seconds=10, http_url=target.http_url, server_pid=os.getpid(), speed=1000
    )
    return await run_idle_load(plan, Corpus.read(clips, ["en"]), crowd, lambda _: None)


async def test_idle_clients_are_connected_in_the_second_phase_only(clip_folder: Path) -> None:
    """The stream is sent before they connect, while all are connected, and after they left."""
    async with fake_server() as target:
        report = await run_test(target, clip_folder, IdleClients(idle=5, uploads=3))
        assert target.most == [(0, 0), (0, 0), (5, 3), (0, 0)]  # the first is the warm-up
    assert (report.present, report.sent_away) == ((5, 3), 0)
    assert [phase.name for phase in report.phases] == ["before", "during", "after"]
    during, after = report.phases[1:]
    assert during.open_files >= after.open_files + 16  # both ends of each connection are ours


async def test_rejected_idle_clients_are_a_shortfall(
    clip_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that rejects most of them does not pass."""
    monkeypatch.setattr(idle_load, "CONNECT_S", 0.1)
    async with fake_server(places=3) as target:
        report = await run_test(target, clip_folder, IdleClients(idle=5, uploads=0))
    assert report.sent_away > 0
    assert "not all clients were connected" in report.shortfalls


async def test_the_verdict_names_every_shortfall(clip_folder: Path) -> None:
    """Delay, memory and open files have bounds."""
    async with fake_server() as target:
        report = await run_test(target, clip_folder, IdleClients(idle=1, uploads=0))
    before, during, after = report.phases
    worse = replace(
        report,
        phases=(before, during, replace(after, rss_mb=2 * before.rss_mb, open_files=10**6)),
    )
    assert "memory 2.000 times that before" in worse.shortfalls
    assert "files are left open" in worse.shortfalls
    assert format_verdict(worse).startswith("Not passed: ")
    document = json.loads(as_json(worse, "python -m load_tests idle-load"))
    assert document["growth"] == 2
    assert document["phases"][2]["open_files"] == 10**6
    assert as_table(report).row_count == 8


async def test_a_process_must_be_named(clip_folder: Path) -> None:
    """Its memory and open files are measured."""
    corpus = Corpus.read(clip_folder, ["en"])
    with pytest.raises(BadRequest, match="--server-pid"):
        await run_idle_load(LoadPlan("ws://x"), corpus, IdleClients(0, 0), lambda _: None)


def test_a_server_must_be_named(clip_folder: Path) -> None:
    """Neither none nor two."""
    for options in ([], ["--serve", "--url", "ws://127.0.0.1:1"]):
        result = CliRunner().invoke(app, ["idle-load", "--clips", str(clip_folder), *options])
        assert isinstance(result.exception, BadRequest)
        assert "or use --serve" in result.exception.message

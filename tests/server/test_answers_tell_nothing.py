"""Faults of every kind, and what the answers to them do not tell: paths, stacks, secrets."""

import json
import resource
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import pytest
from running_server import Server, start_server, wait_for_exit
from wav_files import write_wav
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from whisperlive_hybrid.backends.fake import pause, speak
from whisperlive_hybrid.models.files import demo_model

SECRET = "whsec_c2VjcmV0LW9mLXRoaXMtdGVzdA=="  # noqa: S105 (opens nothing)
TRANSCRIPTIONS = "/v1/audio/transcriptions"
WORD = write_wav(speak([1]))
LONG = write_wav(np.concatenate([speak([1]), pause(120.0)]))
"""3.8 MB: it lies on the disk while it is read."""

BODIES = [
    (b"", "application/json"),
    (b"[" * 60_000, "application/json"),
    (b'{"url": "file:///etc/passwd"}', "application/json"),
    (b'{"urls": [["x"]]}', "application/json"),
    (b'{"url": "http://127.0.0.1:1/x", "webhook_url": "ftp://x"}', "application/json"),
    (b'{"url": "\\ud800"}', "application/json"),
    (b"--x\r\n", "multipart/form-data; boundary=x"),
    (b"--x--\r\n", "multipart/form-data; boundary=x"),
    (b"x", "multipart/form-data"),
    (b"x", "multipart/form-data; boundary=x; charset=utf-99"),
    (b"file=../../etc/passwd", "application/x-www-form-urlencoded"),
    (b"\x00" * 100, "application/octet-stream"),
]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """It knows one more model than the one it has loaded."""
    shutil.copytree(demo_model().directory, tmp_path / "spare")
    server = start_server(
        tmp_path / "data",
        tmp_path / "log",
        WHISPERLIVE_MODELS=str(tmp_path / "spare"),
        WHISPERLIVE_WEBHOOK_SECRET=SECRET,
        TMPDIR=str(tmp_path),
    )
    yield server
    server.process.terminate()
    wait_for_exit(server)


class Ear:
    """Asks, and keeps every answer with its headers."""

    def __init__(self, server: Server) -> None:
        self.answers: list[str] = []
        self._server = server

    def ask(self, method: str, path: str, **what: object) -> int:
        """Send a request; the status of the answer."""
        reply = httpx.request(method, f"{self._server.http_url}{path}", timeout=60, **what)  # type: ignore[arg-type]  # of httpx
        self.answers.append(f"{reply.headers!r} {reply.text}")
        return reply.status_code

    def say(self, *frames: str | bytes) -> None:
        """Send frames to the live door; nothing more is expected than an end."""
        with connect(self._server.live_url) as socket, suppress(ConnectionClosed):
            for frame in frames:
                socket.send(frame)
            while True:
                self.answers.append(f"{socket.recv()!r}")


def test_whatever_fails_nothing_is_told(server: Server, tmp_path: Path) -> None:
    """A broken model, a lost directory, a broken database, a full disk, and nonsense."""
    ear = Ear(server)
    nonsense(ear)
    assert broken_model(ear, tmp_path) == {503}
    assert full_disk(ear, server) == {507}
    shutil.rmtree(tmp_path / "data" / "spool")
    assert ear.ask("POST", "/v1/jobs", files={"file": WORD}) in {500, 507}
    for file in (tmp_path / "data").glob("jobs.db*"):
        file.write_bytes(b"no database" * 10_000)
    for method, path in (("GET", "/v1/jobs"), ("GET", "/v1/jobs/job_1"), ("POST", "/v1/jobs")):
        ear.ask(method, path, json={"url": "http://127.0.0.1:1/x"} if method == "POST" else None)
    assert len(ear.answers) > 30
    told = "\n".join(ear.answers)
    for secret in (str(tmp_path), sys.prefix, str(Path.home()), SECRET, SECRET[6:]):
        assert secret not in told
    for trace in ("Traceback", "site-packages", 'File "', ".py", "sqlite", "Errno", "jobs.db"):
        assert trace.lower() not in told.lower()
    assert "Traceback" in (tmp_path / "log").read_text()  # the operator is told


def nonsense(ear: Ear) -> None:
    """What clients may get wrong."""
    for path in (TRANSCRIPTIONS, "/v1/jobs", "/transcribe", "/transcribe/url"):
        for body, kind in BODIES:
            assert ear.ask("POST", path, content=body, headers={"content-type": kind}) < 500
        ear.ask("PUT", path)
    for path in (
        "/..%2f..%2fetc/passwd",
        "/v1/jobs/..%2f..",
        "/v1/models/..%2fx",
        "/v1/jobs?limit=x",
    ):
        assert ear.ask("GET", path) < 500
    ear.ask("POST", TRANSCRIPTIONS, files={"file": b"no audio"}, data={"model": "whisper-1"})
    ear.ask("POST", TRANSCRIPTIONS, files={"file": WORD}, data={"model": "../../etc"})
    for frames in (("no json",), ("[" * 10_000,), ('{"uid": "u", "task": "x"}',)):
        ear.say(*frames)
    ear.say(json.dumps({"uid": "u"}), "neither audio nor an end")


def broken_model(ear: Ear, directory: Path) -> set[int]:
    """Ask for a model whose files are damaged, then for one whose files are gone."""
    spare = directory / "spare"
    name = next(
        model["id"]
        for model in json.loads(ear_of_models(ear))["data"]
        if "spare" in str(model["id"])
    )
    statuses = set()
    for damage in (b"no weights", None):
        for file in spare.iterdir():
            file.write_bytes(damage) if damage else file.unlink()
        statuses.add(ear.ask("POST", TRANSCRIPTIONS, files={"file": WORD}, data={"model": name}))
    return statuses


def ear_of_models(ear: Ear) -> str:
    """The list of models, which is no answer to a fault."""
    ear.ask("GET", "/v1/models")
    return ear.answers.pop().partition(") ")[2]


def full_disk(ear: Ear, server: Server) -> set[int]:
    """Let the server write no byte more to a file than 64 kB: what a full disk is to it."""
    usual = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (65_536, usual[1]))
    statuses = {
        ear.ask("POST", path, files={"file": LONG}) for path in (TRANSCRIPTIONS, "/v1/jobs")
    }
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, usual)
    return statuses

"""The whole server as a process: both doors, one text, an orderly end."""

import base64
import hmac
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NoReturn

import httpx
import pytest
from fastapi import FastAPI
from paths import CLIPS
from running_server import Server, start_server, wait_for_exit
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from whisperlive_hybrid.cli.main import sample_clip
from whisperlive_hybrid.config import load_settings
from whisperlive_hybrid.media.reader import open_audio
from whisperlive_hybrid.models.files import demo_model
from whisperlive_hybrid.server.app import HttpDoor, models_on_demand
from whisperlive_hybrid.server.net.listener import ConnectionLimiter

SPOKEN = [clip for clip in json.loads((CLIPS / "manifest.json").read_text()) if clip["text"]]
FRAME = 4096 * 4
"""Bytes of a frame of the Python client."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server with the demo model for all tests of this file."""
    running = start_server(
        tmp_path_factory.mktemp("data"),
        WHISPERLIVE_FETCH_ALLOW="127.0.0.1",
        WHISPERLIVE_WEBHOOK_SECRET="whsec_c2VjcmV0",  # noqa: S106 (opens nothing)
    )
    yield running
    running.process.send_signal(signal.SIGTERM)
    assert wait_for_exit(running) == 0


class QuietFiles(SimpleHTTPRequestHandler):
    """Serves a directory without a line for each request."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base's signature)
        """Say nothing."""


@contextmanager
def served_files(directory: Path) -> Iterator[str]:
    """Serve a directory over HTTP while inside; gives the address."""
    handler = partial(QuietFiles, directory=str(directory))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as files:
        thread = threading.Thread(target=files.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{files.server_port}"
        files.shutdown()
        thread.join()


def pcm(clip: Path) -> bytes:
    """The samples of a clip as a client sends them."""
    with clip.open("rb") as media, open_audio(media) as audio:
        return b"".join(block.tobytes() for block in audio.blocks())


def handshake(socket: ClientConnection, **wishes: object) -> None:
    """Introduce a client as the Python client does, and wait until the server is ready."""
    hello = {"uid": "a-b-c", "language": None, "task": "transcribe", "model": "small"}
    socket.send(json.dumps({**hello, "use_vad": True, **wishes}))
    assert json.loads(socket.recv())["message"] == "SERVER_READY"


def completed_text(messages: list[dict[str, object]]) -> str:
    """The running text of the last message, if all of it is completed."""
    shown = [message["segments"] for message in messages if "segments" in message]
    segments = shown[-1] if shown else []
    assert isinstance(segments, list)
    assert all(segment["completed"] for segment in segments)
    return "".join(segment["text"] for segment in segments).strip()


def listen(socket: ClientConnection, messages: list[dict[str, object]]) -> NoReturn:
    """Collect messages until the connection closes, which raises `ConnectionClosed`."""
    while True:
        messages.append(json.loads(socket.recv()))


def live_text(server: Server, clip: Path) -> str:
    """What the live door writes for a clip, sent as fast as it is taken."""
    audio, messages = pcm(clip), []
    with connect(server.live_url, compression=None) as socket:
        handshake(socket)
        for first in range(0, len(audio), FRAME):
            socket.send(audio[first : first + FRAME])
        socket.send(b"END_OF_AUDIO")
        messages = [json.loads(message) for message in socket]
    return completed_text(messages)


def file_text(server: Server, clip: Path) -> str:
    """What the file door writes for a clip."""
    with clip.open("rb") as media:
        reply = httpx.post(f"{server.http_url}/v1/audio/transcriptions", files={"file": media})
    assert reply.status_code == 200, reply.text
    text = reply.json()["text"]
    assert isinstance(text, str)
    return text


def job_texts(server: Server, clips: Sequence[Path]) -> list[str]:
    """What a job writes for each of the clips."""
    parts = [("files[]", (clip.name, clip.read_bytes())) for clip in clips]
    job = httpx.post(f"{server.http_url}/v1/jobs", files=parts).json()
    httpx.get(f"{server.http_url}/v1/jobs/{job['id']}/events", timeout=90)
    results = httpx.get(f"{server.http_url}/v1/jobs/{job['id']}/result").json()
    return [result["text"] for result in results["data"]]


def test_every_door_writes_the_same_text(server: Server, tmp_path: Path) -> None:
    """The same audio through HTTP, WebSocket, jobs and CLI gives the same text, every letter."""
    clips = [CLIPS / clip["file"] for clip in SPOKEN]
    command = [
        sys.executable,
        "-m",
        "whisperlive_hybrid",
        "transcribe",
        "--output-dir",
        str(tmp_path),
    ]
    subprocess.run([*command, *map(str, clips)], check=True, timeout=90, capture_output=True)
    of_jobs = job_texts(server, clips)
    for clip, of_job in zip(clips, of_jobs, strict=True):
        written = (tmp_path / f"{clip.stem}.txt").read_text().strip()
        assert written
        assert file_text(server, clip) == written
        assert live_text(server, clip) == written
        assert of_job == written


def test_a_url_gives_the_answer_of_its_upload(server: Server) -> None:
    """The same file through POST /transcribe/url and POST /transcribe, letter for letter."""
    clip = CLIPS / SPOKEN[0]["file"]
    with clip.open("rb") as media:
        uploaded = httpx.post(f"{server.http_url}/transcribe", files={"file": media}).json()
    with served_files(CLIPS) as address:
        wish = {"url": f"{address}/{clip.name}"}
        fetched = httpx.post(f"{server.http_url}/transcribe/url", json=wish).json()
    assert fetched["success"]
    assert fetched == uploaded


def test_a_url_in_a_job_gives_the_text_of_its_upload(server: Server) -> None:
    """Fetched, named and read as if it had been sent."""
    clip = CLIPS / SPOKEN[0]["file"]
    with served_files(CLIPS) as address:
        wish = {"urls": [f"{address}/{clip.name}", f"{address}/missing.flac"]}
        job = httpx.post(f"{server.http_url}/v1/jobs", json=wish).json()
        httpx.get(f"{server.http_url}/v1/jobs/{job['id']}/events", timeout=60)
    ended_job = httpx.get(f"{server.http_url}/v1/jobs/{job['id']}").json()
    assert [file["status"] for file in ended_job["files"]] == ["completed", "failed"]
    assert ended_job["files"][0]["name"] == clip.name
    assert "404" in ended_job["files"][1]["error"]["message"]
    assert ended_job["text"] == file_text(server, clip)


class Receiver(BaseHTTPRequestHandler):
    """Takes webhooks, but not the first."""

    def do_POST(self) -> None:
        """Keep it, and answer."""
        told = self.server
        assert isinstance(told, Hooks)
        body = self.rfile.read(int(self.headers["content-length"]))
        told.received.append((dict(self.headers), body))
        self.send_response(503 if len(told.received) == 1 else 204)
        self.end_headers()
        if len(told.received) == 2:
            told.complete.set()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base's signature)
        """Say nothing."""


class Hooks(ThreadingHTTPServer):
    """A receiver of webhooks on this machine."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.received: list[tuple[dict[str, str], bytes]] = []
        self.complete = threading.Event()


def test_a_webhook_arrives_signed_at_the_second_try(server: Server) -> None:
    """A receiver that was down for a moment gets the same message again, and can verify it."""
    with Hooks() as hooks:
        thread = threading.Thread(target=hooks.serve_forever)
        thread.start()
        form = {"webhook_url": f"http://127.0.0.1:{hooks.server_port}/done"}
        files = {"file": (CLIPS / SPOKEN[0]["file"]).read_bytes()}
        job = httpx.post(f"{server.http_url}/v1/jobs", files=files, data=form).json()
        assert hooks.complete.wait(60)
        hooks.shutdown()
        thread.join()
    [(first, body), (second, again)] = hooks.received
    assert body == again
    assert first["webhook-id"] == second["webhook-id"]
    message = json.loads(body)
    assert (message["type"], message["job"]["id"]) == ("job.completed", job["id"])
    for headers in (first, second):
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        signature = base64.b64encode(hmac.digest(b"secret", signed, "sha256")).decode()
        assert headers["webhook-signature"] == f"v1,{signature}"


def test_silence_and_noise_are_no_text_through_any_door(server: Server) -> None:
    """Where nobody speaks, nothing is written."""
    for name in ("silence.flac", "noise.flac"):
        assert file_text(server, CLIPS / name) == ""
        assert live_text(server, CLIPS / name) == ""


def test_the_announcement_says_what_runs_where(server: Server) -> None:
    """A new user reads both addresses, the model, and that demo is not for real use."""
    assert "Model demo on cpu" in server.announcement
    assert "demonstration and tests only" in " ".join(server.announcement.split())
    health = httpx.get(f"{server.http_url}/health").json()
    assert health["status"] == "healthy"
    assert "demonstration and tests only" in health["model"]["note"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_printed_curl_line_works_when_pasted(server: Server) -> None:
    """It transcribes the bundled sample."""
    line = server.announcement.strip().splitlines()[-1].replace("localhost", "127.0.0.1")
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["text"].startswith("Bring me the house.")


def test_sigterm_completes_live_text_and_exits_cleanly(tmp_path: Path) -> None:
    """A client in mid-sentence gets its words and close code 1012; the exit code is 0."""
    server = start_server(tmp_path)
    audio, messages = pcm(sample_clip()), []
    with connect(server.live_url, compression=None) as socket:
        handshake(socket, language="en")
        socket.send(audio)
        messages.append(json.loads(socket.recv()))  # it is being read
        server.process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as closed:
            listen(socket, messages)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012
    assert completed_text(messages).endswith("Maria wants soup.")
    assert wait_for_exit(server) == 0


def test_both_doors_open_on_ipv6(tmp_path: Path) -> None:
    """An address with colons is one like any other."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"no IPv6 here, as in many containers: {error}")
    running = start_server(tmp_path, WHISPERLIVE_HOST="::1")
    try:
        address = running.http_url.replace("127.0.0.1", "[::1]")
        assert httpx.get(f"{address}/health").json()["status"] == "healthy"
        with connect(running.live_url.replace("127.0.0.1", "[::1]")) as connection:
            handshake(connection)
    finally:
        running.process.terminate()
        wait_for_exit(running)


def test_a_reply_does_not_wait_for_an_acknowledgement() -> None:
    """Its body follows its head at once; with Nagle's rule it comes 40 ms later."""
    settings = load_settings(host="127.0.0.1", http_port=0)
    door = HttpDoor(FastAPI(), settings, drain_s=settings.server.drain_s)
    with socket.create_connection(("127.0.0.1", door.bind(settings, ConnectionLimiter(1, 1)))):
        assert door._socket is not None
        accepted, _ = door._socket.accept()
        with accepted, door._socket:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def refused_start(**environment: str) -> str:
    """What a server that ends at once says on standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "whisperlive_hybrid", "serve", "--live-port", "0"],
        env={**os.environ, "WHISPERLIVE_HOST": "127.0.0.1", "HTTP_PORT": "0", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split())


def test_a_port_in_use_is_one_line(server: Server, tmp_path: Path) -> None:
    """A second server on the same port says which setting to change, and ends."""
    port = server.http_url.rpartition(":")[2]
    said = refused_start(HTTP_PORT=port, WHISPERLIVE_DATA_DIR=str(tmp_path))
    assert f"Cannot listen on HTTP_PORT={port}" in said


def test_an_announcement_that_cannot_be_written_keeps_nobody_out(tmp_path: Path) -> None:
    """The disk under a log may be full: that is told, and the server goes on until its signal."""
    environment = {"WHISPERLIVE_HOST": "127.0.0.1", "WHISPERLIVE_DATA_DIR": str(tmp_path)}
    with Path("/dev/full").open("wb") as full:
        process = subprocess.Popen(
            [sys.executable, "-m", "whisperlive_hybrid", "serve"],
            env={**os.environ, "HTTP_PORT": "0", "PORT_WHISPERLIVE": "0", **environment},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert process.stderr is not None
    with process.stderr as errors:
        assert any("Standard output cannot be written" in line for line in errors)
        process.terminate()
        assert any("stopped" in line for line in errors)
    assert process.wait(60) == 0


@pytest.mark.parametrize("host", ["nohost.invalid", "two..dots"])
def test_a_host_without_an_address_is_one_line(tmp_path: Path, host: str) -> None:
    """It is not the port that has to be changed; the reason is the resolver's, in its words."""
    said = refused_start(WHISPERLIVE_HOST=host, WHISPERLIVE_DATA_DIR=str(tmp_path))
    assert f"Cannot listen on WHISPERLIVE_HOST='{host}': " in said
    assert "Unknown error" not in said


def test_a_missing_directory_for_uploads_is_one_line(tmp_path: Path) -> None:
    """They are private, and large: nobody wants them where he has not said."""
    missing = str(tmp_path / "nope")
    said = refused_start(TMPDIR=missing, WHISPERLIVE_DATA_DIR=str(tmp_path))
    assert f"Uploads cannot be written to TMPDIR='{missing}': No such file or directory." in said


def test_a_mistyped_allow_list_is_one_line(tmp_path: Path) -> None:
    """The server does not start with a wall that has another shape than its operator meant."""
    said = refused_start(WHISPERLIVE_FETCH_ALLOW="10.0.0.0/99", WHISPERLIVE_DATA_DIR=str(tmp_path))
    assert "'10.0.0.0/99' is neither a host name, nor an address" in said


def test_a_data_directory_in_use_is_one_line(server: Server) -> None:
    """A second server on the same jobs says which setting to change, and ends."""
    directory = str(server.data_dir)
    said = refused_start(WHISPERLIVE_DATA_DIR=directory)
    assert f"Another server uses WHISPERLIVE_DATA_DIR={directory!r}" in said


def test_a_broken_webhook_secret_is_one_line(tmp_path: Path) -> None:
    """The setting is named, and its value is not."""
    said = refused_start(WHISPERLIVE_WEBHOOK_SECRET="whsec_*", WHISPERLIVE_DATA_DIR=str(tmp_path))  # noqa: S106 (opens nothing)
    assert "WHISPERLIVE_WEBHOOK_SECRET is not base64 after whsec_." in said


def test_the_first_model_is_not_offered_a_second_time(tmp_path: Path) -> None:
    """Though one of its name lies where models are downloaded to; it is named by a path here."""
    for directory in (tmp_path / "mine" / "base", tmp_path / "models" / "base"):
        shutil.copytree(demo_model().directory, directory)
    models = tmp_path / "models"
    settings = load_settings(models_dir=models, model=str(tmp_path / "mine" / "base"))
    assert models_on_demand(settings) == []
    other = load_settings(models_dir=models, model="demo")
    assert [model.name for model in models_on_demand(other)] == ["base"]

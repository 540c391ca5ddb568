"""The whole server as a process: both doors, one text, an orderly end."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NoReturn

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from whisperlive_hybrid.cli import sample_clip
from whisperlive_hybrid.media import open_audio

CLIPS = Path(__file__).parent.parent / "clips"
SPOKEN = [clip for clip in json.loads((CLIPS / "manifest.json").read_text()) if clip["text"]]
FRAME = 4096 * 4
"""Bytes of a frame of the Python client."""


@dataclass
class Server:
    """A running `whisperlive serve`."""

    process: subprocess.Popen[str]
    announcement: str
    live_url: str
    http_url: str


def start_server(**environment: str) -> Server:
    """Start it on free ports and read what it prints, up to the line to paste."""
    process = subprocess.Popen(
        [sys.executable, "-m", "whisperlive_hybrid", "serve"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={
            **os.environ,
            "PORT_WHISPERLIVE": "0",
            "HTTP_PORT": "0",
            "HF_HUB_OFFLINE": "1",
            "WHISPERLIVE_HOST": "127.0.0.1",
            **environment,
        },
    )
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if "curl" in line:
            break
    printed = "".join(lines)
    live, http = re.search(r"ws://\S+", printed), re.search(r"http://\S+", printed)
    assert live, printed
    assert http, printed
    urls = [found[0].replace("localhost", "127.0.0.1") for found in (live, http)]
    return Server(process, printed, *urls)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One server with the demo model for all tests of this file."""
    running = start_server(WHISPERLIVE_FETCH_ALLOW="127.0.0.1")
    yield running
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(30) == 0
    assert running.process.stdout is not None
    running.process.stdout.close()


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


def test_every_door_writes_the_same_text(server: Server, tmp_path: Path) -> None:
    """The same audio through HTTP, WebSocket and the CLI gives the same text, letter for letter."""
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
    for clip in clips:
        written = (tmp_path / f"{clip.stem}.txt").read_text().strip()
        assert written
        assert file_text(server, clip) == written
        assert live_text(server, clip) == written


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


def test_sigterm_completes_live_text_and_exits_cleanly() -> None:
    """A client in mid-sentence gets its words and close code 1012; the exit code is 0."""
    server = start_server()
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
    assert server.process.wait(30) == 0
    assert server.process.stdout is not None
    server.process.stdout.close()


def test_a_port_in_use_is_one_line(server: Server) -> None:
    """A second server on the same port says which setting to change, and ends."""
    port = server.http_url.rpartition(":")[2]
    done = subprocess.run(
        [sys.executable, "-m", "whisperlive_hybrid", "serve", "--live-port", "0"],
        env={**os.environ, "HTTP_PORT": port, "WHISPERLIVE_HOST": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert f"Cannot listen on HTTP_PORT={port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_mistyped_allow_list_is_one_line() -> None:
    """The server does not start with a wall that has another shape than its operator meant."""
    done = subprocess.run(
        [sys.executable, "-m", "whisperlive_hybrid", "serve", "--live-port", "0"],
        env={**os.environ, "HTTP_PORT": "0", "WHISPERLIVE_FETCH_ALLOW": "10.0.0.0/99"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "'10.0.0.0/99' is neither a host name, nor an address" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr

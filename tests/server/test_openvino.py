"""The OpenVINO backend behind the command line and both doors, as processes of their own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from running_server import Server, ended, start_server
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from whisperlive_hybrid.cli import sample_clip
from whisperlive_hybrid.media import open_audio

ENGLISH = (
    "Bring me the house. Please wait one hundred days. "
    "Peter learns in the garden. Maria wants soup."
)


@pytest.fixture(scope="module")
def server(openvino_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running server on this backend."""
    data = tmp_path_factory.mktemp("data")
    model = str(openvino_directory)
    running = start_server(data, WHISPERLIVE_BACKEND="openvino", FASTERWHISPER_MODEL=model)
    yield running
    running.process.send_signal(signal.SIGTERM)
    assert ended(running) == 0


def test_a_file_is_transcribed_on_the_command_line(openvino_directory: Path) -> None:
    """The text is the one that the other backend writes, with word times."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "whisperlive_hybrid", "transcribe", str(sample_clip())),
            *("--format", "json", "--words"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
        env={
            **os.environ,
            "WHISPERLIVE_BACKEND": "openvino",
            "FASTERWHISPER_MODEL": str(openvino_directory),
        },
    )
    assert done.returncode == 0, done.stderr
    body = json.loads(done.stdout)
    assert body["text"] == ENGLISH
    assert [word["word"] for word in body["words"]][:3] == ["Bring", "me", "the"]


def test_the_file_door_answers_with_it(server: Server) -> None:
    """The same text over HTTP, and /health names the backend."""
    with sample_clip().open("rb") as media:
        answer = httpx.post(
            f"{server.http_url}/v1/audio/transcriptions",
            files={"file": media},
            data={"model": "whisper-1"},
            timeout=60,
        )
    assert answer.status_code == 200, answer.text
    assert answer.json()["text"] == ENGLISH
    assert "openvino" in httpx.get(f"{server.http_url}/health").text


def test_the_live_door_answers_with_it(server: Server) -> None:
    """The same text over the WhisperLive protocol."""
    with sample_clip().open("rb") as media, open_audio(media) as audio:
        pcm = b"".join(block.tobytes() for block in audio.blocks())
    shown: list[dict[str, object]] = []
    with connect(server.live_url) as socket:
        hello = {"uid": "a", "language": "en", "task": "transcribe", "model": "small"}
        socket.send(json.dumps({**hello, "use_vad": True}))
        assert json.loads(socket.recv())["message"] == "SERVER_READY"
        for start in range(0, len(pcm), 16384):
            socket.send(pcm[start : start + 16384])
        socket.send(b"END_OF_AUDIO")
        try:
            while True:
                shown = json.loads(socket.recv()).get("segments", shown)
        except ConnectionClosed:
            pass
    assert "".join(str(segment["text"]) for segment in shown).strip() == ENGLISH

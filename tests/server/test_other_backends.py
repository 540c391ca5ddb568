"""Each further backend behind the command line and both doors, as processes of their own.

For `tensorrt` they find the stand-in for TensorRT-LLM on their path.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from running_server import Server, start_server, wait_for_exit
from trt_double.directory import SITE
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from whisperlive_hybrid.cli.main import sample_clip
from whisperlive_hybrid.media.reader import open_audio

ENGLISH = (
    "Bring me the house. Please wait one hundred days. "
    "Peter learns in the garden. Maria wants soup."
)


@pytest.fixture(scope="module", params=["openvino", "tensorrt"])
def environment(
    request: pytest.FixtureRequest, openvino_directory: Path, tensorrt_directory: Path
) -> dict[str, str]:
    """What chooses a backend with its copy of the demo model."""
    chosen = {"WHISPERLIVE_BACKEND": request.param}
    if request.param == "openvino":
        return {**chosen, "FASTERWHISPER_MODEL": str(openvino_directory)}
    paths = f"{SITE}{os.pathsep}{SITE.parents[1]}"
    return {**chosen, "FASTERWHISPER_MODEL": str(tensorrt_directory), "PYTHONPATH": paths}


@pytest.fixture(scope="module")
def server(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A running server on this backend."""
    running = start_server(tmp_path_factory.mktemp("data"), None, **environment)
    yield running
    running.process.send_signal(signal.SIGTERM)
    assert wait_for_exit(running) == 0


def transcribed(environment: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    """`whisperlive transcribe` of the sample clip, as JSON."""
    return subprocess.run(
        [
            *(sys.executable, "-m", "whisperlive_hybrid", "transcribe", str(sample_clip())),
            *("--format", "json", *options),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
        env={**os.environ, **environment},
    )


def test_a_file_is_transcribed_on_the_command_line(environment: dict[str, str]) -> None:
    """The text is the one that the usual backend writes."""
    done = transcribed(environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["text"] == ENGLISH


def test_word_times_are_measured_or_refused(environment: dict[str, str]) -> None:
    """A backend that has none says so by its name, before anything is read."""
    done = transcribed(environment, "--words")
    if environment["WHISPERLIVE_BACKEND"] == "tensorrt":
        assert done.returncode != 0
        assert "Backend 'tensorrt' measures no word times." in done.stderr
        return
    assert done.returncode == 0, done.stderr
    words = json.loads(done.stdout)["words"]
    assert [word["word"] for word in words][:3] == ["Bring", "me", "the"]


def test_the_file_door_answers_with_it(server: Server, environment: dict[str, str]) -> None:
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
    health = httpx.get(f"{server.http_url}/health").text
    assert environment["WHISPERLIVE_BACKEND"] in health


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

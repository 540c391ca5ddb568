"""The examples of the documentation that older servers had, to the letter, against a server."""

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from paths import TESTS
from running_server import PROGRAM, Server, start_server, wait_for_exit
from speech_clips import Clip
from wav_files import write_wav

NODE_MODULES = TESTS / "node" / "node_modules"

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
needs_node = pytest.mark.skipif(
    shutil.which("node") is None or not (NODE_MODULES / "form-data").is_dir(),
    reason="no Node, or `make install-test` could not install its clients (tests/node)",
)

OPENAI = """
curl -X POST http://localhost:8080/v1/audio/transcriptions \\
  -H "Content-Type: multipart/form-data" \\
  -F "file=@audio.wav" \\
  -F "model=whisper-1" \\
  -F "response_format=json"
"""

BASIC = """
curl -X POST http://localhost:8080/transcribe \\
  -F "file=@audio.wav"
"""

WITH_PARAMETERS = """
curl -X POST http://localhost:8080/transcribe \\
  -F "file=@audio.wav" \\
  -F "language=en" \\
  -F "task=transcribe" \\
  -F "model=base"
"""

TRANSLATION = """
curl -X POST http://localhost:8080/transcribe \\
  -F "file=@audio.wav" \\
  -F "language=es" \\
  -F "task=translate" \\
  -F "model=small"
"""

HEALTH = "curl http://localhost:8080/health"

PYTHON = """
import requests

# Transcribe a file
with open('audio.wav', 'rb') as f:
    response = requests.post('http://localhost:8080/transcribe',
        files={'file': f},
        data={'language': 'en', 'model': 'base'})

if response.status_code == 200:
    result = response.json()
    print(f"Transcription: {result['segments']}")
"""

JAVASCRIPT = """
const FormData = require('form-data');
const fs = require('fs');

const form = new FormData();
form.append('file', fs.createReadStream('audio.wav'));
form.append('language', 'en');
form.append('model', 'base');

fetch('http://localhost:8080/transcribe', {
    method: 'POST',
    body: form
})
.then(response => response.json())
.then(result => console.log(result));
"""

NODE = ["node", "--input-type=commonjs", "--eval"]

AS_JSON = ("result => console.log(result)", "result => console.log(JSON.stringify(result))")
"""What makes the output of JavaScript readable for a test."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of the demo model."""
    data = tmp_path_factory.mktemp("data")
    running = start_server(data, program=PROGRAM, FASTERWHISPER_MODEL="demo")
    yield running
    running.process.send_signal(signal.SIGTERM)
    assert wait_for_exit(running) == 0


@pytest.fixture(scope="module")
def talk(clips: list[Clip]) -> Clip:
    """What the examples send."""
    return next(clip for clip in clips if clip.file == "en-0.flac")


@pytest.fixture
def desk(tmp_path: Path, talk: Clip) -> Path:
    """A directory with a recording, and the packages of the JavaScript example."""
    (tmp_path / "audio.wav").write_bytes(write_wav(talk.samples))
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    return tmp_path


def run(server: Server, desk: Path, command: list[str], example: str) -> str:
    """Run an example with the address of this server; return what it prints."""
    here = example.replace("http://localhost:8080", server.http_url)
    done = subprocess.run(
        [*command, here],
        cwd=desk,
        env={**os.environ, "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def asked(server: Server, desk: Path, example: str) -> dict[str, Any]:
    """Run an example of curl; return the JSON that it prints."""
    made: dict[str, Any] = json.loads(run(server, desk, ["sh", "-c"], example))
    return made


def text_of(answer: dict[str, Any]) -> str:
    """The text of an answer in the documented shape, which is checked key by key."""
    assert list(answer) == ["success", "segments", "info", "filename"]
    assert answer["success"] is True
    assert answer["filename"] == "audio.wav"
    for segment in answer["segments"]:
        assert {"start", "end", "text", "no_speech_prob"} <= set(segment)
    info = answer["info"]
    assert {"language", "language_probability", "duration"} <= set(info)
    assert {"duration_after_vad", "transcription_options"} <= set(info)
    return " ".join(segment["text"] for segment in answer["segments"])


@needs_curl
def test_openai_with_a_content_type_of_its_own(server: Server, desk: Path, talk: Clip) -> None:
    """The boundary is curl's to add."""
    assert asked(server, desk, OPENAI)["text"] == talk.text


@needs_curl
def test_basic_transcription(server: Server, desk: Path, talk: Clip) -> None:
    """A file and nothing else."""
    assert text_of(asked(server, desk, BASIC)) == talk.text


@needs_curl
def test_parameters(server: Server, desk: Path, talk: Clip) -> None:
    """A size as the model means "transcribe this", whichever model the server has."""
    answer = asked(server, desk, WITH_PARAMETERS)
    assert text_of(answer) == talk.text
    assert answer["info"]["language"] == "en"


@needs_curl
def test_translation(server: Server, desk: Path) -> None:
    """A language of the speech, into English."""
    answer = asked(server, desk, TRANSLATION)
    text_of(answer)
    assert answer["info"]["language"] == "es"
    assert answer["info"]["transcription_options"]["task"] == "translate"


def test_python(server: Server, desk: Path, talk: Clip) -> None:
    """The program prints its segments."""
    printed = run(server, desk, [sys.executable, "-c"], PYTHON)
    segments = ast.literal_eval(printed.removeprefix("Transcription: "))
    assert " ".join(segment["text"] for segment in segments) == talk.text


@needs_curl
def test_health(server: Server, desk: Path) -> None:
    """Both documented keys, among more."""
    found = asked(server, desk, HEALTH)
    assert found["status"] == "healthy"
    assert found["service"] == "WhisperLive Hybrid Server"


@needs_node
def test_javascript_with_the_fetch_that_knows_the_form(
    server: Server, desk: Path, talk: Clip
) -> None:
    """node-fetch, the one that there was when the example was written."""
    example = f"globalThis.fetch = require('node-fetch');{JAVASCRIPT.replace(*AS_JSON)}"
    printed = run(server, desk, NODE, example)
    assert text_of(json.loads(printed)) == talk.text


@needs_node
def test_javascript_with_the_fetch_of_node_is_told_what_to_do(server: Server, desk: Path) -> None:
    """Node's own fetch sends such a form as the text "[object FormData]", and no file with it."""
    answer = json.loads(run(server, desk, NODE, JAVASCRIPT.replace(*AS_JSON)))
    assert answer["success"] is False
    assert "FormData that is built in" in answer["error"]
    assert "node-fetch" in answer["error"]


def test_the_form_has_an_address(server: Server) -> None:
    """The page is there too; a browser uses it in tests/web."""
    reply = httpx.get(f"{server.http_url}/test_form.html")
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/html")
    assert "<h1" in reply.text

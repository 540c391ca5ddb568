"""The examples of docs/clients.md and the README, pasted as a reader would, against a server."""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from paths import ROOT
from running_server import Server, start_server, wait_for_exit
from speech_clips import Clip
from wav_files import write_wav

NODE_MODULES = ROOT / "tests" / "node" / "node_modules"
NO_SOUND_CARD = """
paInt16 = 8
class PyAudio:
    def open(self, **_):
        raise OSError("no microphone")
"""
"""A stand-in for the audio library of WhisperLive's client, which it loads for files too."""


def examples(language: str, page: str = "docs/clients.md") -> list[str]:
    """The blocks of a language, in order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


PYTHON = list(dict.fromkeys([*examples("python"), *examples("python", "README.md")]))
"""What stands on both pages is run once."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all examples."""
    running = start_server(tmp_path_factory.mktemp("data"))
    yield running
    running.process.send_signal(signal.SIGTERM)
    assert wait_for_exit(running) == 0


@pytest.fixture
def talk(clips: list[Clip]) -> Clip:
    """What the examples send."""
    return next(clip for clip in clips if clip.file == "en-0.flac")


@pytest.fixture
def desk(tmp_path: Path, talk: Clip) -> Path:
    """A directory as the page supposes it: a recording, in two formats, and installed clients."""
    for name in ("talk.flac", "talk.mp3"):  # the content decides
        shutil.copy(ROOT / "tests" / "clips" / talk.file, tmp_path / name)
    (tmp_path / "talk.wav").write_bytes(write_wav(talk.samples))
    (tmp_path / "pyaudio.py").write_text(NO_SOUND_CARD)
    shutil.copy(ROOT / "test_http_endpoints.py", tmp_path)
    if NODE_MODULES.is_dir():
        (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    return tmp_path


def run(server: Server, desk: Path, command: list[str], example: str) -> str:
    """Run an example with the ports of this server; what it prints."""
    http, live = (url.rpartition(":")[2] for url in (server.http_url, server.live_url))
    here = example.replace("localhost:8080", f"127.0.0.1:{http}")
    here = here.replace("localhost:5050", f"127.0.0.1:{live}")
    here = here.replace('"localhost", 5050', f'"127.0.0.1", {live}')
    done = subprocess.run(
        [*command, here],
        cwd=desk,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def heard(printed: str, talk: Clip) -> bool:
    """Whether every word of the recording was printed."""
    words = re.findall(r"\w+", printed.lower())
    return all(word.lower() in words for word in re.findall(r"\w+", talk.text))


@pytest.mark.parametrize("example", PYTHON)
def test_python(server: Server, desk: Path, talk: Clip, example: str) -> None:
    """Each program prints what was said."""
    assert heard(run(server, desk, [sys.executable, "-c"], example), talk)


@pytest.mark.skipif(
    shutil.which("node") is None or not NODE_MODULES.is_dir(),
    reason="no Node, or `make install-test` could not install its clients (tests/node)",
)
@pytest.mark.parametrize("example", examples("js"))
def test_javascript(server: Server, desk: Path, talk: Clip, example: str) -> None:
    """Each program prints what was said."""
    command = ["node", "--input-type=module", "--eval"]
    assert heard(run(server, desk, command, example), talk)


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
def test_curl(server: Server, desk: Path, talk: Clip) -> None:
    """Each line prints what was said, or writes it."""
    uploads, jobs, *_ = examples("sh")
    as_json, into_file, as_events = uploads.splitlines()
    assert heard(run(server, desk, ["bash", "-c"], as_json), talk)
    run(server, desk, ["bash", "-c"], into_file)
    assert heard((desk / "talk.srt").read_text(), talk)
    assert heard(run(server, desk, ["bash", "-c"], as_events), talk)
    printed = run(server, desk, ["bash", "-c"], jobs)
    assert "job.completed" in printed
    assert heard(printed.partition("WEBVTT")[2], talk)


def test_every_endpoint_is_tried(server: Server, desk: Path) -> None:
    """The script finds nothing wrong, and leaves out nothing that the server describes."""
    _, _, script = examples("sh")
    with_addresses = script.splitlines()[1]
    printed = run(server, desk, ["bash", "-c"], with_addresses)
    assert "FAILED" not in printed
    assert re.search(r"(\d+) of \1 as they should be\.", printed)


def test_the_script_wants_requests_and_nothing_else(server: Server, desk: Path) -> None:
    """Neither the repository nor other packages: it makes a recording, and skips WebSockets."""
    packages = desk / "packages"
    packages.mkdir()
    for name in ("requests", "urllib3", "idna", "certifi", "charset_normalizer"):
        found = importlib.util.find_spec(name)
        assert found is not None
        assert found.origin is not None
        (packages / name).symlink_to(Path(found.origin).parent)
    done = subprocess.run(
        # -S: without the packages of this environment.
        [sys.executable, "-S", "test_http_endpoints.py", "--http", server.http_url],
        cwd=desk,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(packages)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"(\d+) of \1 as they should be, 2 skipped\.", done.stdout)
    assert done.stdout.count("needs the package websockets") == 2


def test_the_script_without_a_server_says_so(desk: Path) -> None:
    """One line, and an exit code that a shell sees."""
    done = subprocess.run(
        [sys.executable, "test_http_endpoints.py", "--http", "http://127.0.0.1:9"],
        cwd=desk,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout.startswith("No server at http://127.0.0.1:9")

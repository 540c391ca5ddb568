"""The README's first commands, pasted into a Debian that has only what the README asks for."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from container_engine import BARE, Containers, base_name
from paths import ROOT
from running_container import free_ports
from running_server import Server, wait_for_exit, wait_until_ready

from whisperlive_hybrid.models.catalogue import DEFAULT, find_known_model

pytestmark = [pytest.mark.image, pytest.mark.timeout(900)]

NEEDED = ("ca-certificates", "curl", "git", "make", "python3", "python3-venv")

NOWHERE = "http://127.0.0.1:9"
"""Nothing listens there."""

NO_HUB = {"HF_ENDPOINT": NOWHERE}
NO_INDEX = {"PIP_INDEX_URL": NOWHERE}

LAST_WORDS = "Maria wants soup"


@pytest.fixture(scope="module")
def clone(engine: Containers) -> Path:
    """What a clone of the working tree has, committed or not, and a Debian to mount it in."""
    engine.import_debian(BARE, base_name(), *NEEDED)
    target = engine.directory / "clone"
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, done.stdout.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)
    return target


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default model's files, from any source that this machine reaches."""
    place = tmp_path_factory.mktemp("models")
    command = [sys.executable, "-m", "whisperlive_hybrid", "models", "pull", DEFAULT]
    variables = {"WHISPERLIVE_MODELS_DIR": str(place), "HF_HUB_OFFLINE": ""}
    subprocess.run(command, env={**os.environ, **variables}, check=True)
    return place / DEFAULT


def readme_command() -> str:
    """Return the line of the README that starts the server."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (line, *_) = re.findall(r"^(make serve)\b.*$", readme, re.MULTILINE)
    assert isinstance(line, str)
    return line


def options(engine: Containers, clone: Path, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return options that mount the clone, let pip work, and keep to free ports of loopback."""
    live, http = free_ports(2)
    given = {
        "WHISPERLIVE_HOST": "127.0.0.1",
        "PORT_WHISPERLIVE": str(live),
        "HTTP_PORT": str(http),
        "OMP_NUM_THREADS": "1",
        **environment,
    }
    variables = (f"--env={name}={value}" for name, value in given.items())
    mounted = (f"--volume={clone}:/whisperlive", "--workdir=/whisperlive")
    return *variables, *mounted, *engine.registry_options()


@contextmanager
def pasted(
    engine: Containers, clone: Path, name: str, environment: Mapping[str, str]
) -> Iterator[Server]:
    """Run the README's command until it is interrupted."""
    process = engine.start_bare(name, readme_command(), options(engine, clone, environment))
    try:
        yield wait_until_ready(process, Path("/root"))
    finally:
        engine.podman("kill", name, check=False)
        wait_for_exit(Server(process, "", "", "", Path("/root")))
        engine.podman("rm", "--force", "--volumes", name)


def printed_curl(server: Server) -> str:
    """Return the line that the server tells people to paste."""
    return server.announcement.splitlines()[-1].strip()


def answer(engine: Containers, name: str, server: Server) -> str:
    """Paste the printed line into a second shell of the container; return the text."""
    printed = engine.podman("exec", name, "sh", "-c", printed_curl(server)).stdout
    text: str = json.loads(printed)["text"]
    return text


def test_with_the_package_index_only(engine: Containers, clone: Path) -> None:
    """It installs, downloads the default model, serves, and the printed line gives its text."""
    with pasted(engine, clone, "index-only", NO_HUB) as server:
        assert LAST_WORDS in answer(engine, "index-only", server)


def test_with_the_hub_only(engine: Containers, clone: Path, weights: Path) -> None:
    """Where packages are installed already, the hub alone is enough for the model."""
    assert engine.run_bare("make install", options(engine, clone, {})).returncode == 0
    with (
        hub(weights) as (address, requests),
        pasted(engine, clone, "hub-only", {"HF_ENDPOINT": address, **NO_INDEX}) as server,
    ):
        assert LAST_WORDS in answer(engine, "hub-only", server)
    assert any(line.endswith("/model.bin") for line in requests)


def test_with_no_source_at_all(engine: Containers, clone: Path) -> None:
    """One line says what failed and what to do, and the exit code is not 0."""
    assert engine.run_bare("make install", options(engine, clone, {})).returncode == 0
    abort = options(engine, clone, {})
    done = engine.run_bare(readme_command(), abort, network="none")
    assert done.returncode == 2  # make's, for any failure of a command
    assert re.search(r"make: \*\*\* .*serve\] Error 1", done.stderr)
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("Error:")]
    assert "could not be downloaded" in error
    assert "--model demo" in error
    assert "Traceback" not in done.stderr
    shown = engine.run_bare(
        "timeout 60 .venv/bin/whisperlive transcribe --model demo "
        "src/whisperlive_hybrid/assets/samples/en.flac",
        abort,
        network="none",
    )
    assert LAST_WORDS in shown.stdout


def git_blob_id(content: bytes) -> str:
    """Return the name that Git, and so the hub, gives to a file (gitformat-pack, "blob")."""
    header = b"blob %d\0" % len(content)
    return hashlib.sha1(header + content, usedforsecurity=False).hexdigest()


@contextmanager
def hub(weights: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve the default model as the Hugging Face hub does; yield address and requested paths."""
    known = find_known_model(DEFAULT)
    assert known
    hub_id, commit = known.hub_id, str(known.revision)
    requests: list[str] = []
    # The hub's client lists the files of a commit in one of two ways; ours may use either.
    sizes = {file.name: file.stat().st_size for file in weights.iterdir()}
    ids = {name: git_blob_id((weights / name).read_bytes()) for name in sizes}
    tree = [
        {"type": "file", "path": name, "size": size, "oid": ids[name]}
        for name, size in sizes.items()
    ]
    siblings = [
        {"rfilename": name, "size": size, "blobId": ids[name]} for name, size in sizes.items()
    ]
    listings: dict[str, object] = {
        f"/api/models/{hub_id}/tree/{commit}": tree,
        f"/api/models/{hub_id}/revision/{commit}": {
            "id": hub_id,
            "sha": commit,
            "siblings": siblings,
        },
    }

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.reply(with_body=False)

        def do_GET(self) -> None:
            self.reply(with_body=True)

        def reply(self, *, with_body: bool) -> None:
            path = self.path.partition("?")[0]
            requests.append(path)
            name = path.rpartition("/")[2]
            if path in listings:
                body = json.dumps(listings[path]).encode()
            elif path == f"/{hub_id}/resolve/{commit}/{name}" and (weights / name).is_file():
                body = (weights / name).read_bytes()
            else:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", f'"{ids.get(name, name)}"')
            self.send_header("X-Repo-Commit", commit)
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (of the base class)
            """Keep the test's output short."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

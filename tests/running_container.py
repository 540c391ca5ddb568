"""The server in a hardened container, on free local ports."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from container_engine import IMAGE, Containers
from running_server import Server, wait_for_exit, wait_until_ready

ASK_INSIDE = """
import os, sys, httpx
url = f"http://127.0.0.1:{os.environ['HTTP_PORT']}/v1/audio/transcriptions"
with open(sys.argv[1], "rb") as audio:
    reply = httpx.post(url, files={"file": audio}, data={"language": "en"}, timeout=120)
print(reply.json()["text"])
"""
"""Transcribe a file from inside the container: another network cannot reach it."""


@dataclass(frozen=True, slots=True)
class Service:
    """A container that serves."""

    engine: Containers
    name: str
    server: Server

    def inside(self, *command: str) -> str:
        """Run a command in the container, as its user; return its output."""
        return self.engine.podman("exec", self.name, *command).stdout

    def text_inside(self, file: str) -> str:
        """Transcribe a file of the container in English, over its own loopback."""
        return self.inside("python", "-c", ASK_INSIDE, file).strip()

    def stop(self) -> int:
        """Stop it as an orchestrator does; return its exit code."""
        self.engine.podman("stop", "--time=60", self.name)
        return wait_for_exit(self.server)


@contextmanager
def run_container(
    engine: Containers,
    name: str,
    *options: str,
    image: str = IMAGE,
    network: str = "host",
    **environment: str,
) -> Iterator[Service]:
    """A hardened container that serves the demo model, or another by `FASTERWHISPER_MODEL`."""
    live, http = free_ports(2)
    given = {
        "WHISPERLIVE_HOST": "127.0.0.1",
        "PORT_WHISPERLIVE": str(live),
        "HTTP_PORT": str(http),
        "OMP_NUM_THREADS": "1",
        "FASTERWHISPER_MODEL": "demo",
        **environment,
    }
    variables = tuple(f"--env={variable}={value}" for variable, value in given.items())
    process = engine.start(name, (*variables, *options), image, network)
    try:
        yield Service(engine, name, wait_until_ready(process, Path("/data")))
    finally:
        if process.poll() is None:
            engine.podman("kill", name, check=False)
            wait_for_exit(Server(process, "", "", "", Path("/data")))
        engine.podman("rm", "--force", "--volumes", name)


def free_ports(n: int) -> list[int]:
    """Return free ports of the loopback interface."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [listener.getsockname()[1] for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports


def transcribe_file(service: Service, audio: bytes) -> str:
    """Transcribe a recording in English over the HTTP port."""
    form: dict[str, Any] = {"file": audio}
    reply = httpx.post(
        f"{service.server.http_url}/v1/audio/transcriptions",
        files=form,
        data={"language": "en"},
        timeout=120,
    )
    assert reply.status_code == 200, reply.text
    text: str = reply.json()["text"]
    return text

"""A server that asks for keys, and how to ask it by hand: with as little of our own as can be."""

import http.client
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import urlsplit

import anyio

from whisperlive_hybrid.bench.server import start_server

PATH: Final = "/v1/models"
"""Asked for: it costs little besides the key."""

UNPAUSED: Final = {"WHISPERLIVE_WRONG_KEYS_PER_MINUTE": "0"}
"""Settings of a server that refuses every wrong key at once: it can be seen what one costs."""

AS_INSTALLED: Final = {"WHISPERLIVE_CONNECTIONS_PER_ADDRESS": "256"}
"""And of one that has only the usual limits, where `start_server` lifts one."""


@dataclass(frozen=True, slots=True)
class Target:
    """A server that asks for keys."""

    http_url: str
    live_url: str
    token: str
    """A key that opens it."""
    pid: int | None = None


@asynccontextmanager
async def served(more: Mapping[str, str]) -> AsyncIterator[Target]:
    """Our own server with the demo model, one key and `more` settings, while inside."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as data:
        settings = {"WHISPERLIVE_DATA_DIR": data, "WHISPERLIVE_AUTH": "true", **more}
        command = [sys.executable, "-m", "whisperlive_hybrid", "keys", "make", "bench"]
        made = await anyio.run_process(
            command, stderr=subprocess.DEVNULL, env={**os.environ, **settings}
        )
        async with start_server("demo", settings) as server:
            token = made.stdout.decode().strip()
            yield Target(server.http_url, server.url, token, server.pid)


def connected(url: str) -> http.client.HTTPConnection:
    """A connection that is kept."""
    address = urlsplit(url)
    return http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)


def asked(connection: http.client.HTTPConnection, shown: str | None) -> tuple[float, int]:
    """Show something as Authorization; seconds and status of the answer."""
    began = time.perf_counter()
    connection.request("GET", PATH, headers={"Authorization": shown} if shown else {})
    reply = connection.getresponse()
    reply.read()
    return time.perf_counter() - began, reply.status

"""A server that requires API keys, and a client of the standard library for it."""

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
"""An endpoint whose cost is mainly that of authentication."""

UNPAUSED: Final = {"WHISPERLIVE_WRONG_KEYS_PER_MINUTE": "0"}
"""Settings of a server that rejects every wrong key at once, to measure the cost of one."""

AS_INSTALLED: Final = {"WHISPERLIVE_CONNECTIONS_PER_ADDRESS": "256"}
"""Settings of a server with the default limits, of which `start_server` raises this one."""


@dataclass(frozen=True, slots=True)
class Target:
    """A server that requires API keys."""

    http_url: str
    live_url: str
    token: str
    """A valid key."""
    pid: int | None = None


@asynccontextmanager
async def run_target(more: Mapping[str, str]) -> AsyncIterator[Target]:
    """Run this server with the demo model, one key and `more` settings."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as data:
        settings = {"WHISPERLIVE_DATA_DIR": data, "WHISPERLIVE_AUTH": "true", **more}
        command = [sys.executable, "-m", "whisperlive_hybrid", "keys", "make", "bench"]
        process = await anyio.run_process(
            command, stderr=subprocess.DEVNULL, env={**os.environ, **settings}
        )
        async with start_server("demo", settings) as server:
            token = process.stdout.decode().strip()
            yield Target(server.http_url, server.url, token, server.pid)


def open_connection(url: str) -> http.client.HTTPConnection:
    """Open a persistent connection."""
    address = urlsplit(url)
    return http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)


def send_key(
    connection: http.client.HTTPConnection, authorization: str | None
) -> tuple[float, int]:
    """Send a request with this Authorization header; return seconds and status of the response."""
    began = time.perf_counter()
    headers = {"Authorization": authorization} if authorization else {}
    connection.request("GET", PATH, headers=headers)
    response = connection.getresponse()
    response.read()
    return time.perf_counter() - began, response.status

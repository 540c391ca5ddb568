"""Our own server as a child process, for benchmarks in one command."""

import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Final

import anyio
import anyio.abc
from anyio.streams.text import TextReceiveStream

from whisperlive_hybrid.errors import ModelUnavailable

_PROGRAM: Final = (sys.executable, "-m", "whisperlive_hybrid")

_ANNOUNCED: Final = re.compile(r"ws://localhost:(\d+).*http://localhost:(\d+)", re.DOTALL)
"""Both doors, as `whisperlive serve` names them when they are open."""


@dataclass(frozen=True, slots=True)
class ChildServer:
    """A server that runs while the benchmark does."""

    url: str
    http_url: str
    pid: int


@asynccontextmanager
async def serving(
    model: str, settings: Mapping[str, str] | None = None
) -> AsyncIterator[ChildServer]:
    """Start `whisperlive serve` on free ports, with more `settings`; it is stopped at the end.

    Raises `ModelUnavailable` if it ends before its doors are open; why, it says itself on
    standard error.
    """
    command = [*_PROGRAM, "serve", "--model", model]
    ports = ["--host", "127.0.0.1", "--live-port", "0", "--http-port", "0"]
    environment = {
        "WHISPERLIVE_LOG_LEVEL": "warning",
        "WHISPERLIVE_MAX_CLIENTS": "10000",
        "WHISPERLIVE_LIVE_LOAD": "10000",  # what it holds is to be found out, not estimated
        "WHISPERLIVE_CONNECTIONS_PER_ADDRESS": "10000",  # all streams come from here
    }
    # Its own directory: the user's server may be running, and has jobs in the usual one.
    with TemporaryDirectory(ignore_cleanup_errors=True) as data:
        environment |= {"WHISPERLIVE_DATA_DIR": data, "COLUMNS": "200", **(settings or {})}
        async with await anyio.open_process(
            command + ports, stderr=None, env={**os.environ, **environment}
        ) as process:
            try:
                yield await _announced(process)
            finally:
                with suppress(ProcessLookupError):  # it has ended by itself
                    process.terminate()


async def _announced(process: anyio.abc.Process) -> ChildServer:
    if process.stdout is None:
        raise TypeError("the child was started without a pipe")
    said = ""
    async for piece in TextReceiveStream(process.stdout):
        said += piece
        if doors := _ANNOUNCED.search(said):
            live, http = doors.groups()
            return ChildServer(f"ws://127.0.0.1:{live}", f"http://127.0.0.1:{http}", process.pid)
    raise ModelUnavailable("The server ended before its doors were open.")

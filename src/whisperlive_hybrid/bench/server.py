"""Our own server as a child process, for benchmarks in one command."""

import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import anyio
import anyio.abc
from anyio.streams.text import TextReceiveStream

from whisperlive_hybrid.errors import BadRequest, ModelUnavailable

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
async def start_server(
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


_PROC: Final = Path("/proc")
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """What a process and its children have used so far."""

    cpu_s: float
    """User and system time, that of children already gone included."""
    rss_mb: float
    """Resident memory in MB; pages that processes share count in each."""


def read_usage(pid: int) -> ProcessUsage:
    """Sum over a process and all its descendants. Raises `BadRequest` if it does not exist."""
    children: dict[int, list[int]] = {}
    stats = {int(entry.name): _stat(entry) for entry in _PROC.iterdir() if entry.name.isdigit()}
    for child, fields in stats.items():
        if fields:
            children.setdefault(int(fields[1]), []).append(child)
    if not stats.get(pid):
        raise BadRequest(f"--server-pid {pid}: there is no such process.")
    family = [pid]
    for member in family:  # it grows while it is read
        family += children.get(member, [])
    ticks = sum(sum(map(int, stats[member][11:15])) for member in family)
    pages = sum(int(stats[member][21]) for member in family)
    return ProcessUsage(ticks / _TICKS_PER_S, pages * _PAGE / 1e6)


def open_files(pid: int) -> int:
    """Descriptors that a process has open. Raises `BadRequest` if they are not to be seen."""
    try:
        return len(list((_PROC / str(pid) / "fd").iterdir()))
    except OSError as error:
        raise BadRequest(f"--server-pid {pid}: its files cannot be seen.") from error


def _stat(process: Path) -> list[str]:
    """The fields of proc(5)'s stat from the third (state) on; none if the process has gone.

    The second, the name, stands in parentheses and may hold anything.
    """
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def cpu_model() -> str:
    """The processor's name, or "unknown"."""
    try:
        lines = (_PROC / "cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown"
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "unknown")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))

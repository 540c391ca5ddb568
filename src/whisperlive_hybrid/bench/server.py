"""Start this server as a child process, and measure processes and the machine."""

import os
import platform
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
"""The URLs that `whisperlive serve` prints once it is ready."""


@dataclass(frozen=True, slots=True)
class ChildServer:
    """A running server that the benchmark has started."""

    url: str
    http_url: str
    pid: int


@asynccontextmanager
async def start_server(
    model: str, settings: Mapping[str, str] | None = None
) -> AsyncIterator[ChildServer]:
    """Run `whisperlive serve` on free ports with additional `settings`.

    Raises `ModelUnavailable` if it ends before it is ready; its message is on standard error.
    """
    command = [*_PROGRAM, "serve", "--model", model]
    ports = ["--host", "127.0.0.1", "--live-port", "0", "--http-port", "0"]
    environment = {
        "WHISPERLIVE_LOG_LEVEL": "warning",
        "WHISPERLIVE_MAX_CLIENTS": "10000",
        "WHISPERLIVE_LIVE_LOAD": "10000",  # the capacity is measured, not limited by an estimate
        "WHISPERLIVE_CONNECTIONS_PER_ADDRESS": "10000",  # all streams have this address
    }
    # Its own data directory: a running server of the user has jobs in the default one.
    with TemporaryDirectory(ignore_cleanup_errors=True) as data:
        # Wide columns, so that no announced URL is wrapped.
        environment |= {"WHISPERLIVE_DATA_DIR": data, "COLUMNS": "200", **(settings or {})}
        async with await anyio.open_process(
            command + ports, stderr=None, env={**os.environ, **environment}
        ) as process:
            try:
                yield await _wait_until_ready(process)
            finally:
                with suppress(ProcessLookupError):  # it has ended by itself
                    process.terminate()


async def _wait_until_ready(process: anyio.abc.Process) -> ChildServer:
    if process.stdout is None:
        raise TypeError("the child was started without a pipe")
    output = ""
    async for text in TextReceiveStream(process.stdout):
        output += text
        if ports := _ANNOUNCED.search(output):
            live, http = ports.groups()
            return ChildServer(f"ws://127.0.0.1:{live}", f"http://127.0.0.1:{http}", process.pid)
    raise ModelUnavailable("The server ended before it was ready.")


_PROC: Final = Path("/proc")
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """Resources that a process and its descendants have used."""

    cpu_s: float
    """User and system time, including ended children."""
    rss_mb: float
    """Resident memory in MB; shared pages count once for each process."""


def read_usage(pid: int) -> ProcessUsage:
    """Sum the usage of a process and its descendants. Raises `BadRequest` if it does not exist."""
    children: dict[int, list[int]] = {}
    stats = {
        int(entry.name): _read_stat(entry) for entry in _PROC.iterdir() if entry.name.isdigit()
    }
    for child, fields in stats.items():
        if fields:
            children.setdefault(int(fields[1]), []).append(child)
    if not stats.get(pid):
        raise BadRequest(f"--server-pid {pid}: there is no such process.")
    family = [pid]
    for member in family:  # the list grows during the loop, by all descendants
        family += children.get(member, [])
    ticks = sum(sum(map(int, stats[member][11:15])) for member in family)
    pages = sum(int(stats[member][21]) for member in family)
    return ProcessUsage(ticks / _TICKS_PER_S, pages * _PAGE / 1e6)


def count_open_files(pid: int) -> int:
    """Count the open descriptors of a process. Raises `BadRequest` if they cannot be read."""
    try:
        return len(list((_PROC / str(pid) / "fd").iterdir()))
    except OSError as error:
        raise BadRequest(f"--server-pid {pid}: its open files cannot be read.") from error


def _read_stat(process: Path) -> list[str]:
    """Return the fields of proc(5)'s stat from the third (state) on; none if the process ended."""
    try:
        # The second field, the name in parentheses, may itself contain blanks and parentheses.
        return (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def read_cpu_model() -> str:
    """Return the processor's name, or "unknown"."""
    try:
        lines = (_PROC / "cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown"
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "unknown")


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def describe_machine() -> dict[str, object]:
    """Return the processor, its cores and the version of Python, for reports."""
    return {"cpu": read_cpu_model(), "cores": count_cores(), "python": platform.python_version()}

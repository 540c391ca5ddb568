"""What Linux tells about a process and the machine under it, read from /proc."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from whisperlive_hybrid.errors import BadRequest

_PROC: Final = Path("/proc")
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process and its children have used so far."""

    cpu_s: float
    """User and system time, that of children already gone included."""
    rss_mb: float
    """Resident memory in MB; pages that processes share count in each."""


def usage(pid: int) -> Usage:
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
    return Usage(ticks / _TICKS_PER_S, pages * _PAGE / 1e6)


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

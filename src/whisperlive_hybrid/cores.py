"""How many cores this process may use: those it is bound to, and what a quota leaves of them."""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_CGROUPS: Final = Path("/sys/fs/cgroup")
_MEMBERSHIP: Final = Path("/proc/self/cgroup")


def usable_cores(cgroups: Path = _CGROUPS, membership: Path = _MEMBERSHIP) -> int:
    """Cores of the machine, of the affinity (taskset), or of the quota (`--cpus`, CPUQuota=).

    A part of a core is told as a whole one, as by other runtimes. Quotas are those of cgroup 2.
    """
    if hasattr(os, "sched_getaffinity"):  # Linux
        bound_to = len(os.sched_getaffinity(0))
    else:
        bound_to = os.cpu_count() or 1
    return max(1, min([bound_to, *(math.ceil(quota) for quota in _quotas(cgroups, membership))]))


def _quotas(cgroups: Path, membership: Path) -> Iterator[float]:
    """Cores that the control group of this process, and each above it, may keep busy."""
    group = _own_group(membership)
    for each in (group, *group.parents) if group else ():
        # "max 100000", or "150000 100000": µs of work in so many µs
        quota, _, period = _read(cgroups / each.relative_to("/") / "cpu.max").partition(" ")
        if quota.isdecimal() and period.strip().isdecimal():
            yield int(quota) / int(period)


def _own_group(membership: Path) -> Path | None:
    """The path of this process's group; None where there is no cgroup 2."""
    lines = _read(membership).splitlines()
    found = next((line for line in lines if line.startswith("0::/")), None)
    return Path(found.removeprefix("0::")) if found else None


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""

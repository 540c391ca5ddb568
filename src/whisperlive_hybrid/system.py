"""How many cores this process may use: those it is bound to, and what a quota leaves of them."""

import ctypes
import errno
import gc
import math
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from whisperlive_hybrid.errors import OutOfSpace

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


DISK_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the last from `ulimit -f`


@contextmanager
def translate_disk_full() -> Iterator[None]:
    """Raise `OutOfSpace` where writing fails inside for lack of room."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise OutOfSpace("The disk of this server is full.") from error
        raise


# glibc's malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_M_ARENA_MAX = -8


def tune_process() -> None:
    """Apply all; to be called by an entry point before it imports anything else."""
    disable_telemetry()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    tune_allocator()


def disable_telemetry() -> None:
    """Keep libraries from reporting their use; to be called before they are imported.

    OpenVINO has no switch for a process: its documented opt-out is a file in the home directory,
    written by a command that reports the opt-out, and its only variable, `CI`, changes other
    programs too. What it does document in code is the fallback: where `openvino_telemetry` cannot
    be imported, `openvino.tools.ovc` takes its own stub. A None in `sys.modules` makes any import
    of that name an ImportError (importlib's documentation), with or without the package.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # typeshed omits None


def tune_allocator() -> bool:
    """Let glibc keep what the encoder frees; return whether that was possible.

    Only glibc has these switches: elsewhere (musl, macOS) nothing happens.
    """
    mallopt = _glibc("mallopt")
    if mallopt is None:
        return False
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_ARENA_MAX, 1))
    accepted = [mallopt(option, value) == 1 for option, value in settings]
    return all(accepted)


def malloc_trim() -> bool:
    """Return what malloc has free to the system; False where only glibc's could do that.

    3 ms for 28 MB, 31 ms for 110 MB (measured), during which no thread gets memory; the next call
    of the model fetches again what it needs, 3.6 µs a page.
    """
    trim = _glibc("malloc_trim")
    if trim is None:
        return False
    trim(0)
    return True


def freeze_gc() -> None:
    """Let the collector look at none of the objects that there are now; they are to stay."""
    gc.collect()
    gc.freeze()


def _glibc(name: str) -> Callable[..., int] | None:
    """A function of glibc's malloc; musl and macOS have none of that name."""
    if not sys.platform.startswith("linux"):
        return None
    function: Callable[..., int] | None = getattr(ctypes.CDLL(None), name, None)
    return function


T = TypeVar("T")


def run_in_daemon_thread(work: Callable[[], T], name: str) -> Future[T]:
    """Run `work` in a thread called `name` that may be left behind.

    The worker threads of anyio and of `concurrent.futures` may not: Ctrl-C during a download would
    be obeyed when it is over.
    """
    future: Future[T] = Future()

    def run() -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 (it is raised where it is waited for)
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future

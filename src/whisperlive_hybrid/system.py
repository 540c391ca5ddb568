"""The process and its machine: usable cores, a full disk, memory allocation, daemon threads."""

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
    """Return the number of cores that this process may use, at least 1.

    It is the least of the machine's cores, the CPU affinity (taskset) and the quotas of cgroup v2
    (`--cpus`, CPUQuota=). A fraction of a core counts as a core, as in other runtimes.
    """
    if hasattr(os, "sched_getaffinity"):  # Linux
        limits = [len(os.sched_getaffinity(0))]
    else:
        limits = [os.cpu_count() or 1]
    lines = _read(membership).splitlines()
    own = next((Path(line[3:]) for line in lines if line.startswith("0::/")), None)  # cgroup v2
    # A parent's quota limits all its children together, so that the least of them applies.
    for group in (own, *own.parents) if own else ():
        # "max 100000", or "150000 100000": µs of CPU time per period in µs
        quota, _, period = _read(cgroups / group.relative_to("/") / "cpu.max").partition(" ")
        if quota.isdecimal() and period.strip().isdecimal():
            limits.append(math.ceil(int(quota) / int(period)))
    return max(1, min(limits))


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


DISK_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers of a full disk, a used-up disk quota, and the file size limit of `ulimit -f`."""


@contextmanager
def translate_disk_full() -> Iterator[None]:
    """Raise `OutOfSpace` in place of an `OSError` that says that the disk is full."""
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
    """Tune this process for serving; call it in an entry point before any other import.

    Libraries read their environment variables when they are loaded.
    """
    disable_telemetry()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    tune_allocator()


def disable_telemetry() -> None:
    """Disable the usage reports of ONNX Runtime and OpenVINO; call it before they are imported."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    # OpenVINO has no switch for a process: its documented opt-out is a file in the home directory,
    # written by a command that reports the opt-out, and its only variable, `CI`, changes other
    # programs too. But if `openvino_telemetry` cannot be imported, `openvino.tools.ovc` uses a
    # stub. A None in `sys.modules` makes any import of that name an ImportError (importlib's
    # documentation), with or without the package.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # typeshed omits None


def tune_allocator() -> bool:
    """Make glibc keep freed memory for the next model call; return whether all options were set.

    Other C libraries (musl, macOS) have no such options, and are left as they are.
    """
    mallopt = _glibc("mallopt")
    if mallopt is None:
        return False
    # Blocks that are mapped by themselves, and a trimmed heap, go back to the system at once, and
    # each page of the next call is a page fault. One arena lets threads reuse each other's memory.
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_ARENA_MAX, 1))
    accepted = [mallopt(option, value) == 1 for option, value in settings]
    return all(accepted)


def malloc_trim() -> bool:
    """Return malloc's free memory to the system; False if the C library is not glibc.

    It takes 3 ms for 28 MB and 31 ms for 110 MB (measured), while all threads wait for memory. The
    next model call gets its memory from the system again, at 3.6 µs a page.
    """
    trim = _glibc("malloc_trim")
    if trim is None:
        return False
    trim(0)
    return True


def freeze_gc() -> None:
    """Exclude all current objects from garbage collection; they live as long as the process."""
    gc.collect()  # garbage that is frozen would never be freed
    gc.freeze()


def _glibc(name: str) -> Callable[..., int] | None:
    """Return a function of glibc's malloc; None with musl and on macOS, which lack it."""
    if not sys.platform.startswith("linux"):
        return None
    function: Callable[..., int] | None = getattr(ctypes.CDLL(None), name, None)
    return function


T = TypeVar("T")


def run_in_daemon_thread(work: Callable[[], T], name: str) -> Future[T]:
    """Run `work` in a thread called `name` that does not keep the process alive.

    The worker threads of anyio and of `concurrent.futures` do: Ctrl-C during a download would end
    the process only after the download.
    """
    future: Future[T] = Future()

    def run() -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 (the caller gets it from the future)
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future

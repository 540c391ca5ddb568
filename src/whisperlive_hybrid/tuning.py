"""The process-wide tuning, to be applied before numpy and CTranslate2 are loaded.

Memory: the attention buffers of a full 30 s window (54 MB for the tiny shape) exceed the 32 MB up
to which glibc keeps freed memory, so every encode would fetch them from the kernel page by page:
about 77,000 page faults and a third of the encode's time (measured: tiny 771 to 492 ms, base
1,580 to 1,060 ms per window, int8, one thread). Kept for ever, it costs resident size: what a crowd
takes in between, the next working set cannot have, and lies beside it. So a server gives back what
is free now and then.

Garbage: a full collection walks over all objects that the libraries made when they were loaded and
stops every thread for 60 ms; without those it takes 9 ms (measured, 500,000 objects).

Threads: numpy's OpenBLAS starts a thread per core and lets it spin between the small products of
the mel filters. Measured at 24 live streams on two cores: 28 % of all CPU time went into that.

Telemetry: the official builds of ONNX Runtime report every session to Microsoft unless a variable
forbids it before they are loaded (its Privacy.md). They also leave `.ses` in TMPDIR for it.
OpenVINO reports every import to Google Analytics, and writes an id and a counter to ~/intel for it.
"""

import ctypes
import gc
import os
import sys
from collections.abc import Callable

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


def give_back() -> bool:
    """Return what malloc has free to the system; False where only glibc's could do that.

    3 ms for 28 MB, 31 ms for 110 MB (measured), during which no thread gets memory; the next call
    of the model fetches again what it needs, 3.6 µs a page.
    """
    malloc_trim = _glibc("malloc_trim")
    if malloc_trim is None:
        return False
    malloc_trim(0)
    return True


def set_aside() -> None:
    """Let the collector look at none of the objects that there are now; they are to stay."""
    gc.collect()
    gc.freeze()


def _glibc(name: str) -> Callable[..., int] | None:
    """A function of glibc's malloc; musl and macOS have none of that name."""
    if not sys.platform.startswith("linux"):
        return None
    function: Callable[..., int] | None = getattr(ctypes.CDLL(None), name, None)
    return function

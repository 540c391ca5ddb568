"""`whisperlive` that writes a report about its inside to $SOAK_REPORT on SIGUSR1.

The report has the tasks of the event loop and the memory in use. The process has more memory than
that, since the allocator keeps freed memory.
"""

import asyncio
import ctypes
import gc
import json
import os
import signal
import sys
from pathlib import Path

from whisperlive_hybrid.__main__ import main

FIELDS = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks")
"""Of glibc's struct mallinfo2 (malloc.h); two more follow."""


class MallInfo(ctypes.Structure):
    """malloc's statistics; `uordblks` are the bytes in use."""

    _fields_ = [(name, ctypes.c_size_t) for name in (*FIELDS, "fordblks", "keepcost")]


def _report(_signal: int, _frame: object) -> None:
    """Write the report; signal handlers run on the main thread, as the event loop does."""
    gc.collect()
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = MallInfo
    report = {
        "tasks": sorted(str(task.get_coro()).partition(" at ")[0] for task in asyncio.all_tasks()),
        "heap": mallinfo2().uordblks,
        "objects": sys.getallocatedblocks(),
    }
    place = Path(os.environ["SOAK_REPORT"])
    draft = place.with_suffix(".draft")
    draft.write_text(json.dumps(report))
    draft.rename(place)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, _report)
    main()

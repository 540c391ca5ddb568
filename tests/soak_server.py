"""`whisperlive`, that also tells what cannot be seen from outside: to $SOAK_REPORT, on SIGUSR1.

Those are the tasks of its loop, and the memory that is in use: the process has more, since its
allocator keeps what was once needed.
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
    """What malloc knows; `uordblks` are the bytes in use."""

    _fields_ = [(name, ctypes.c_size_t) for name in (*FIELDS, "fordblks", "keepcost")]


def _report(_signal: int, _frame: object) -> None:
    """Signals are handled on the main thread, where the loop runs, between two instructions."""
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

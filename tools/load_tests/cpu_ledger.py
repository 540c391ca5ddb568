"""CPU time of this process's threads: that of Python's by kind of work, and that of all others."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_TASKS: Final = Path("/proc/self/task")


class Ledger:
    """CPU seconds by kind of work, recorded by the working threads; thread-safe."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    @property
    def seconds(self) -> dict[str, float]:
        """CPU seconds by kind."""
        with self._lock:
            return dict(self._seconds)

    @contextmanager
    def measure(self, kind: str) -> Iterator[None]:
        """Measure the CPU time of this thread in the block, without that of other threads."""
        began = time.thread_time()
        try:
            yield
        finally:
            spent = time.thread_time() - began
            with self._lock:
                self._seconds[kind] = self._seconds.get(kind, 0.0) + spent


def foreign_cpu_s() -> float:
    """Return the CPU seconds of all running threads that Python did not start.

    CTranslate2 computes on its own threads while the caller waits. ONNX Runtime and OpenBLAS are
    limited to one thread, the caller's, so that these threads are CTranslate2's.
    """
    known = {thread.native_id for thread in threading.enumerate()}
    total_ns = 0
    for task in _TASKS.iterdir():
        if int(task.name) not in known:
            with suppress(OSError):  # the thread has just ended
                total_ns += int((task / "schedstat").read_text().split()[0])
    return total_ns / 1e9

"""CPU time of this process's threads: what Python's own book, and what all others have used."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_TASKS: Final = Path("/proc/self/task")


class Ledger:
    """CPU seconds by kind of work, booked by the threads that did it; thread-safe."""

    def __init__(self) -> None:
        self._booked: dict[str, float] = {}
        self._lock = threading.Lock()

    @property
    def booked(self) -> dict[str, float]:
        """CPU seconds by kind, so far."""
        with self._lock:
            return dict(self._booked)

    @contextmanager
    def booking(self, kind: str) -> Iterator[None]:
        """Book what this thread spends inside; what other threads do for it is theirs."""
        began = time.thread_time()
        try:
            yield
        finally:
            spent = time.thread_time() - began
            with self._lock:
                self._booked[kind] = self._booked.get(kind, 0.0) + spent


def foreign_cpu_s() -> float:
    """CPU seconds of the threads that Python did not start and that live now.

    CTranslate2 computes on threads of its own while the caller waits, and with ONNX Runtime and
    OpenBLAS kept to one thread, which is the caller's, nobody else has any.
    """
    known = {thread.native_id for thread in threading.enumerate()}
    foreign = (task for task in _TASKS.iterdir() if int(task.name) not in known)
    return sum(map(_cpu_s, foreign))


def _cpu_s(task: Path) -> float:
    """From the kernel's schedstat, in ns; 0 for a thread that has just ended."""
    try:
        return int((task / "schedstat").read_text().split()[0]) / 1e9
    except OSError:
        return 0.0

"""SIGTERM, which a supervisor sends, ends a batch as Ctrl-C does: in order, its jobs taken back."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM has come."""


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM end what is inside as SIGINT would; raises `Terminated`. Main thread only."""
    has_come = False

    def interrupt(_: int, frame: FrameType | None) -> None:
        nonlocal has_come
        has_come = True
        # Looked up now: an event loop has a handler of its own, which cancels its main task.
        ctrl_c = signal.getsignal(signal.SIGINT)
        # What a script runs in the background ignores SIGINT, but not this.
        handler = ctrl_c if callable(ctrl_c) else signal.default_int_handler
        handler(signal.SIGINT, frame)

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt as interruption:
        if has_come:
            raise Terminated from interruption
        raise
    finally:
        signal.signal(signal.SIGTERM, before)

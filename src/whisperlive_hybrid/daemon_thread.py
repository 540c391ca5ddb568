"""Blocking work in a thread that does not keep the process alive."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def in_daemon_thread(work: Callable[[], T], name: str) -> Future[T]:
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

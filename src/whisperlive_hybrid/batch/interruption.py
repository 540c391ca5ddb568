"""SIGTERM, which a supervisor sends, ends a batch as Ctrl-C does: in order, its jobs taken back."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import TypeVarTuple

import anyio

Arguments = TypeVarTuple("Arguments")


class Terminated(KeyboardInterrupt):
    """SIGTERM has come."""


def run_terminable(work: Callable[[*Arguments], Awaitable[None]], *arguments: *Arguments) -> None:
    """`anyio.run`, whose work SIGTERM cancels; raises `Terminated` then. Main thread only.

    Also where SIGINT is ignored, as in what a script runs in the background.
    """

    async def cancellable() -> bool:
        loop = asyncio.get_running_loop()
        with anyio.CancelScope() as scope:
            loop.add_signal_handler(signal.SIGTERM, scope.cancel)
            try:
                await work(*arguments)
            finally:
                loop.remove_signal_handler(signal.SIGTERM)
        return scope.cancelled_caught

    if anyio.run(cancellable):
        raise Terminated

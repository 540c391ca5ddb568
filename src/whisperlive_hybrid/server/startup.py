"""The start of the server: the model is obtained and loaded while the HTTP port says how far it is.

A first start downloads a model, which takes from seconds to minutes. Until it is loaded, the HTTP
port answers 503 with the progress, and the live port is closed.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import anyio
import structlog

from whisperlive_hybrid.backends.base import Backend
from whisperlive_hybrid.config import Settings
from whisperlive_hybrid.model_pool import ModelSpec
from whisperlive_hybrid.models.store import OnProgress, PullProgress
from whisperlive_hybrid.server.app import HttpDoor, OpenDoors, serve
from whisperlive_hybrid.server.http.starting import StartingApp
from whisperlive_hybrid.server.net.listener import ConnectionLimiter
from whisperlive_hybrid.system import run_in_daemon_thread

Load = Callable[[OnProgress], tuple[Backend, Sequence[ModelSpec]]]
"""Blocks, maybe for minutes; raises `ModelUnavailable`."""

_MOST_CONNECTIONS: Final = 64
"""Of clients that wait for the start."""

T = TypeVar("T")

log = structlog.get_logger(__name__)


async def start_and_serve(
    load: Load,
    settings: Settings,
    on_progress: OnProgress,
    on_open: Callable[[OpenDoors], None],
) -> None:
    """Load the models in a thread, then serve as `serve` does; return at once on a signal.

    Raises `BadRequest` if the HTTP port is taken, before anything is downloaded, and what `load`
    and `serve` raise.
    """
    app = StartingApp(settings.model.model)

    def show(progress: PullProgress) -> None:
        app.show(progress)
        on_progress(progress)

    async with _answering(app, settings):
        loading = await _run_until_signal(lambda: load(show))
        if loading is None:
            log.info("stopped before the model was loaded")
            return
    backend, others = loading.result()  # out here, since a task group would wrap what it raises
    await serve(backend, settings, on_open, others=others)


@asynccontextmanager
async def _answering(app: StartingApp, settings: Settings) -> AsyncIterator[None]:
    """Answer on the HTTP port with `app` while inside; not on a port that is yet to be chosen."""
    if settings.server.http_port == 0:
        yield
        return
    door = HttpDoor(app, settings, drain_s=0)
    door.bind(settings, ConnectionLimiter(_MOST_CONNECTIONS, _MOST_CONNECTIONS))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(door.run)
        try:
            yield
        finally:
            door.stop()
            with anyio.CancelScope(shield=True):
                await door.has_stopped.wait()


async def _run_until_signal(work: Callable[[], T]) -> asyncio.Future[T] | None:
    """Run `work` in a thread and return its end; give it up for None if SIGTERM or SIGINT comes.

    Without a handler SIGTERM would do nothing at all in a container, where this is process 1.
    """
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)
    with anyio.CancelScope() as scope:
        for each in signals:
            loop.add_signal_handler(each, scope.cancel)
        running = asyncio.wrap_future(run_in_daemon_thread(work, "model-load"))
        try:
            await asyncio.wait([running])
        finally:
            for each in signals:
                loop.remove_signal_handler(each)
            running.cancel()  # does nothing to one that is done
    return None if scope.cancelled_caught else running

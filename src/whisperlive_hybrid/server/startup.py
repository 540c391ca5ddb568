"""The start of the server: the model is obtained and loaded while the HTTP port says how far it is.

A first start downloads a model, which takes from seconds to minutes. Until it is loaded, the HTTP
port answers 503 with the progress, and the live port is closed.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import anyio

from whisperlive_hybrid.backends.base import Backend
from whisperlive_hybrid.config import Settings
from whisperlive_hybrid.model_pool import OnDemand
from whisperlive_hybrid.models.store import OnProgress, PullProgress
from whisperlive_hybrid.server.app import HttpDoor, OpenDoors, serve
from whisperlive_hybrid.server.http.starting import StartingApp
from whisperlive_hybrid.server.listening import Census

Load = Callable[[OnProgress], tuple[Backend, Sequence[OnDemand]]]
"""Blocks, maybe for minutes; raises `ModelUnavailable`."""

_MOST_CONNECTIONS: Final = 64
"""Of clients that wait for the start."""

T = TypeVar("T")


async def start_and_serve(
    load: Load,
    settings: Settings,
    on_progress: OnProgress,
    on_open: Callable[[OpenDoors], None],
) -> None:
    """Load the models in a thread, then serve as `serve` does.

    Raises `BadRequest` at once if the HTTP port is taken, before anything is downloaded.
    """
    app = StartingApp(settings.model)

    def show(progress: PullProgress) -> None:
        app.show(progress)
        on_progress(progress)

    async with _answering(app, settings):
        backend, others = await _in_daemon_thread(lambda: load(show))
    await serve(backend, settings, on_open, others=others)


@asynccontextmanager
async def _answering(app: StartingApp, settings: Settings) -> AsyncIterator[None]:
    """Answer on the HTTP port with `app` while inside; not on a port that is yet to be chosen."""
    if settings.http_port == 0:
        yield
        return
    door = HttpDoor(app, settings, drain_s=0)
    door.bind(settings, Census(_MOST_CONNECTIONS, _MOST_CONNECTIONS))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(door.run)
        try:
            yield
        finally:
            door.stop()
            with anyio.CancelScope(shield=True):
                await door.has_stopped.wait()


async def _in_daemon_thread(work: Callable[[], T]) -> T:
    """Run `work` in a thread that does not keep the process alive.

    The worker threads of anyio do: Ctrl-C during a download would be obeyed when it is over.
    """
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def settle(value: T | None, error: BaseException | None) -> None:
        if result.done():  # the start was cancelled
            return
        if error is not None:
            result.set_exception(error)
        else:
            result.set_result(value)  # type: ignore[arg-type]  # a T wherever there is no error

    def run() -> None:
        try:
            value = work()
        except BaseException as error:  # noqa: BLE001 (it is raised where it is waited for)
            loop.call_soon_threadsafe(settle, None, error)
        else:
            loop.call_soon_threadsafe(settle, value, None)

    threading.Thread(target=run, name="model-load", daemon=True).start()
    return await result

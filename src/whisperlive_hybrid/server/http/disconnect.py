"""Work that ends when its client disconnects."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

T = TypeVar("T")


async def cancel_on_disconnect(receive: Receive, scope: anyio.CancelScope) -> None:
    """Cancel `scope` when the client disconnects, and discard its messages until then."""
    while (await receive())["type"] not in {"http.disconnect", "websocket.disconnect"}:
        pass
    scope.cancel()


async def run_while_connected(request: Request, work: Callable[[], Awaitable[T]]) -> T:
    """Run `work`, unless the client disconnects first: then cancel it.

    Raise `ClientDisconnect` in that case. Call this after the body was read: only the end of the
    connection can still arrive.
    """
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cancel_on_disconnect, request.receive, tasks.cancel_scope)
            result = await work()
            tasks.cancel_scope.cancel()
            return result
    # `work` has failed; the other task raises nothing, so its exception is the only one.
    except ExceptionGroup as group:
        raise group.exceptions[0] from group.exceptions[0].__cause__
    raise ClientDisconnect

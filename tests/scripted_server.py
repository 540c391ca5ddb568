"""A live server that follows a script, for tests of clients."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from websockets.asyncio.server import ServerConnection, serve

Script = Callable[[ServerConnection], Awaitable[None]]
"""The handler of each connection, which is closed with 1000 after it."""


@asynccontextmanager
async def run_script(script: Script) -> AsyncIterator[str]:
    """Listen on a free local port while inside; yield the URL."""
    async with serve(script, "127.0.0.1", 0, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}"

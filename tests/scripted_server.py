"""A live server that follows a script, for tests of clients."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from websockets.asyncio.server import ServerConnection, serve

Script = Callable[[ServerConnection], Awaitable[None]]
"""What happens on each connection; it is closed with 1000 when the script ends."""


@asynccontextmanager
async def run_script(script: Script) -> AsyncIterator[str]:
    """Listen on a free port of this machine; gives the address."""
    async with serve(script, "127.0.0.1", 0, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}"

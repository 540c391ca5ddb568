"""Recordings that a request names by their URL instead of bringing them."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import BinaryIO

import anyio.to_thread
from starlette.requests import Request

from whisperlive_hybrid.disk import full_disk_told
from whisperlive_hybrid.fetch.fetcher import Fetcher
from whisperlive_hybrid.server.http.upload import Upload, while_connected


@asynccontextmanager
async def downloaded(request: Request, fetcher: Fetcher, url: str) -> AsyncIterator[Upload]:
    """Download the recording as if it had been uploaded, into a file without a name.

    To be entered when the body has been read. Raises what `Fetcher.download` raises, and
    `ClientDisconnect` if the client hangs up before the end, and `OutOfSpace` for a full disk.
    """
    file: BinaryIO
    # Around the file, whose close tries again to write what found no room.
    with full_disk_told(), await anyio.to_thread.run_sync(tempfile.TemporaryFile) as file:
        found = await while_connected(request, lambda: fetcher.download(url, file))
        file.seek(0)
        yield Upload((), file, found.filename, found.size)

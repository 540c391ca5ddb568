"""The limits of the process: file descriptors, the directory of temporary files, free memory."""

import os
import resource
import tempfile
from typing import Final

import anyio
import anyio.to_thread
import structlog

from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.system import malloc_trim

_OWN_DESCRIPTORS: Final = 64
"""Models, the database, logs, pipes and the event loop: some 30 (measured), and a margin."""

_DESCRIPTORS_PER_UPLOAD: Final = 4
"""Files that a request with a body has open: mostly one, though a job may have many."""

_ENOUGH_DESCRIPTORS: Final = 65_536
"""The soft limit that the process sets, where its hard limit allows."""

_MAX_CONNECTIONS: Final = 10_000
"""Whatever the number of descriptors: an idle connection costs some 20 kB."""

TRIM_INTERVAL_S: Final = 60.0
"""Measured: two workers on 30 s windows of base fetch 28,000 pages again each time, which is 0.1 s
of one core in 60 s."""

log = structlog.get_logger(__name__)


def max_connections(max_clients: int, max_uploads: int, limit: int | None = None) -> int:
    """Return the connections of all servers that the file descriptors allow.

    Without descriptors the next request fails, whatever it is, so connections are limited earlier.
    Log a warning if the settings promise more. `limit` is the number of descriptors, by default the
    soft limit of the process (`ulimit -n`).
    """
    if limit is None:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        limit = 2**31 - 1 if soft == resource.RLIM_INFINITY else soft
    kept_free = _OWN_DESCRIPTORS + _DESCRIPTORS_PER_UPLOAD * max_uploads
    promised = max_clients + max_uploads
    # A small limit is halved between connections and files, whatever the uploads need.
    connections = min(max(_MAX_CONNECTIONS, promised), max(limit - kept_free, limit // 2))
    if connections < promised or limit < kept_free:
        log.warning(
            "too few file descriptors for the settings: raise `ulimit -n`",
            limit=limit,
            wanted=kept_free + promised,
            connections_at_most=connections,
        )
    return connections


def raise_descriptor_limit() -> None:
    """Raise the soft limit of file descriptors towards the hard one.

    The soft limit is 1024 by default only for programs that use select().
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = (
        _ENOUGH_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_ENOUGH_DESCRIPTORS, hard)
    )
    if soft != resource.RLIM_INFINITY and soft < enough:
        resource.setrlimit(resource.RLIMIT_NOFILE, (enough, hard))


def check_tmpdir() -> None:
    """Use TMPDIR for temporary files, if it is set; blocking.

    Python would silently use another directory, the current one as a last resort. Raise
    `BadRequest` where no file can be created; a disk that is only full fails each upload instead.
    """
    directory = os.environ.get("TMPDIR")
    if not directory:
        return
    try:
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise BadRequest(
            f"Uploads cannot be written to TMPDIR={directory!r}: {error.strerror}."
        ) from error
    tempfile.tempdir = directory  # also for the uploads that Starlette stores


async def trim_memory_periodically() -> None:
    """Return free memory to the system every minute, so that past load costs none.

    Background task; return where the allocator cannot do it.
    """
    is_supported = True
    while is_supported:
        await anyio.sleep(TRIM_INTERVAL_S)
        is_supported = await anyio.to_thread.run_sync(malloc_trim)

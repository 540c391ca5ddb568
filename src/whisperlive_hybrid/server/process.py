"""How many connections the process may have before it runs out of file descriptors.

Every connection is one, and so is every file: an upload on the disk, the database, a model. What
fails for want of one is whoever happens to ask next, so connections end well before.
"""

import os
import resource
import tempfile
from typing import Final

import anyio
import anyio.to_thread
import structlog

from whisperlive_hybrid.config import Settings
from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.system import malloc_trim

_OWN: Final = 64
"""Models, the database, logs, pipes and the event loop: some 30 (measured), and a margin."""

_PER_UPLOAD: Final = 4
"""Files that a request with a body has open: mostly one, though a job may bring many."""

_ENOUGH: Final = 65_536
"""Descriptors that the process asks for, where its hard limit allows."""

_MOST: Final = 10_000
"""Connections, however many descriptors there are: a silent one costs some 20 kB."""

log = structlog.get_logger(__name__)


def max_connections(settings: Settings, limit: int | None = None) -> int:
    """Connections of both doors that the process can carry; warns if the settings promise more.

    `limit` is that of file descriptors, the process's own (`ulimit -n`) where it is not given.
    """
    limit = _descriptors() if limit is None else limit
    kept_free = _OWN + _PER_UPLOAD * settings.max_uploads
    promised = settings.max_clients + settings.max_uploads
    connections = min(max(_MOST, promised), max(limit - kept_free, limit // 2))
    if connections < promised or limit < kept_free:
        log.warning(
            "too few file descriptors for the settings: raise `ulimit -n`",
            limit=limit,
            wanted=kept_free + promised,
            connections_at_most=connections,
        )
    return connections


def raise_descriptor_limit() -> None:
    """Take what the hard limit allows: the soft one is 1024 only for programs that use select()."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = _ENOUGH if hard == resource.RLIM_INFINITY else min(_ENOUGH, hard)
    if soft != resource.RLIM_INFINITY and soft < enough:
        resource.setrlimit(resource.RLIMIT_NOFILE, (enough, hard))


def _descriptors() -> int:
    """The soft limit, which is the one that counts."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**31 - 1 if soft == resource.RLIM_INFINITY else soft


def check_tmpdir() -> None:
    """Have temporary files lie where the environment says, if it does; blocking.

    Python would take another directory, the current one at last, without a word. Raises
    `BadRequest` where no file can be made; a disk that is only full is told to each upload.
    """
    given = os.environ.get("TMPDIR")
    if not given:
        return
    try:
        with tempfile.TemporaryFile(dir=given):
            pass
    except OSError as error:
        raise BadRequest(f"Uploads cannot lie in TMPDIR={given!r}: {error.strerror}.") from error
    tempfile.tempdir = given


TRIM_INTERVAL_S: Final = 60.0
"""Measured: two workers on 30 s windows of base fetch 28,000 pages again each time, which is 0.1 s
of one core in 60 s."""


async def trim_memory_periodically() -> None:
    """Give free memory back every minute, so that a crowd that has left costs nothing.

    To be run as a task; returns where the allocator cannot do it.
    """
    can_do_it = True
    while can_do_it:
        await anyio.sleep(TRIM_INTERVAL_S)
        can_do_it = await anyio.to_thread.run_sync(malloc_trim)

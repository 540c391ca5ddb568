"""How many connections the process may have before it runs out of file descriptors.

Every connection is one, and so is every file: an upload on the disk, the database, a model. What
fails for want of one is whoever happens to ask next, so connections end well before.
"""

import resource
from typing import Final

import structlog

from whisperlive_hybrid.config import Settings

_OWN: Final = 64
"""Models, the database, logs, pipes and the event loop: some 30 (measured), and a margin."""

_PER_UPLOAD: Final = 4
"""Files that a request with a body has open: mostly one, though a job may bring many."""

_ENOUGH: Final = 65_536
"""Descriptors that the process asks for, where its hard limit allows."""

_MOST: Final = 10_000
"""Connections, however many descriptors there are: a silent one costs some 20 kB."""

log = structlog.get_logger(__name__)


def most_connections(settings: Settings, limit: int | None = None) -> int:
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


def raise_limit() -> None:
    """Take what the hard limit allows: the soft one is 1024 only for programs that use select()."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = _ENOUGH if hard == resource.RLIM_INFINITY else min(_ENOUGH, hard)
    if soft != resource.RLIM_INFINITY and soft < enough:
        resource.setrlimit(resource.RLIMIT_NOFILE, (enough, hard))


def _descriptors() -> int:
    """The soft limit, which is the one that counts."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**31 - 1 if soft == resource.RLIM_INFINITY else soft

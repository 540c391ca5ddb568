"""The directory of one server: its database, its spool, and the lock that keeps others out."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from whisperlive_hybrid.errors import BadRequest


@contextmanager
def locked_directory(directory: Path) -> Iterator[Path]:
    """Create the directory if need be and hold it while inside; blocking. Yields its full path.

    The lock is the kernel's, which lifts it when the process dies, however it dies: whoever has it
    knows that no other server works on these jobs. Raises `BadRequest` if another server has it,
    or if it cannot be written.
    """
    try:
        full = directory.expanduser().absolute()
        full.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(full / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    except (OSError, RuntimeError) as error:  # RuntimeError: nobody knows where `~` is
        reason = error.strerror if isinstance(error, OSError) else error
        raise BadRequest(
            f"Cannot keep jobs in WHISPERLIVE_DATA_DIR={str(directory)!r}: {reason}."
        ) from error
    try:
        _lock(descriptor, directory)
        yield full
    finally:
        os.close(descriptor)


def _lock(descriptor: int, directory: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise BadRequest(
            f"Another server works in WHISPERLIVE_DATA_DIR={str(directory)!r}; give each its own."
        ) from error

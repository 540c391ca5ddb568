"""The directory of one server: its database, its spool, and the lock that keeps others out."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from whisperlive_hybrid.errors import BadRequest


def made_directory(directory: Path) -> Path:
    """Create the directory if need be, for its owner alone; return its full path.

    Raises `BadRequest` if that cannot be.
    """
    try:
        full = directory.expanduser().absolute()
        full.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: nobody knows where `~` is
        raise _unusable(directory, error) from error
    return full


@contextmanager
def locked_directory(directory: Path) -> Iterator[Path]:
    """Create the directory if need be and hold it while inside; blocking. Yields its full path.

    The lock is the kernel's, which lifts it when the process dies, however it dies: whoever has it
    knows that no other server works on these jobs. Raises `BadRequest` if another server has it,
    or if it cannot be written.
    """
    full = made_directory(directory)
    try:
        descriptor = os.open(full / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise _unusable(directory, error) from error
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


def _unusable(directory: Path, error: OSError | RuntimeError) -> BadRequest:
    reason = error.strerror if isinstance(error, OSError) else error
    return BadRequest(f"Cannot keep anything in WHISPERLIVE_DATA_DIR={str(directory)!r}: {reason}.")

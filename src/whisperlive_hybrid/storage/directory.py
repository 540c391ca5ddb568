"""The data directory of a server, and the lock that keeps other servers out of it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from whisperlive_hybrid.errors import BadRequest


def make_directory(directory: Path) -> Path:
    """Create the directory if it is missing, accessible to its owner only; return its full path.

    Raises `BadRequest` if it cannot be created.
    """
    try:
        full = directory.expanduser().absolute()
        full.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: `~` without a home directory
        raise _unusable(directory, error) from error
    return full


@contextmanager
def lock_directory(directory: Path) -> Iterator[Path]:
    """Create the directory if it is missing and lock it while inside; yields its full path.

    Blocking. The kernel releases the lock when the process ends, even if it is killed, so no other
    server works on the jobs of the process that holds it. Raises `BadRequest` if another server
    holds it, or if the directory cannot be written.
    """
    full = make_directory(directory)
    try:
        # The state is the lock, not the file, which is never deleted.
        descriptor = os.open(full / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise _unusable(directory, error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BadRequest(
                f"Another server uses WHISPERLIVE_DATA_DIR={str(directory)!r}; give each server "
                "a directory of its own."
            ) from error
        yield full
    finally:
        os.close(descriptor)


def _unusable(directory: Path, error: OSError | RuntimeError) -> BadRequest:
    reason = error.strerror if isinstance(error, OSError) else error
    return BadRequest(f"Cannot write to WHISPERLIVE_DATA_DIR={str(directory)!r}: {reason}.")

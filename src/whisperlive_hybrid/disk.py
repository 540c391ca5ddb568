"""A full disk, told as such."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from whisperlive_hybrid.errors import OutOfSpace

DISK_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the last from `ulimit -f`


@contextmanager
def full_disk_told() -> Iterator[None]:
    """Raise `OutOfSpace` where writing fails inside for lack of room."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise OutOfSpace("The disk of this server is full.") from error
        raise

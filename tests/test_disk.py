import errno
import os

import pytest

from whisperlive_hybrid.errors import OutOfSpace
from whisperlive_hybrid.system import full_disk_told


def test_a_full_disk_has_an_error_of_its_own() -> None:
    """Whatever wrote, and also where only closing the file shows it."""
    with pytest.raises(OutOfSpace), full_disk_told(), open("/dev/full", "wb") as full:  # noqa: PTH123 (a device)
        full.write(b"x")
    with pytest.raises(OutOfSpace), full_disk_told():
        raise OSError(errno.EDQUOT, "Disk quota exceeded")


def test_other_faults_of_a_disk_stay_what_they_are() -> None:
    """A file that is not there is no lack of room."""
    with pytest.raises(FileNotFoundError), full_disk_told():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

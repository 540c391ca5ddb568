import errno
import os

import pytest

from whisperlive_hybrid.errors import OutOfSpace
from whisperlive_hybrid.system import translate_disk_full


def test_a_full_disk_has_an_error_of_its_own() -> None:
    """Whatever wrote, and also where only closing the file shows it."""
    with pytest.raises(OutOfSpace), translate_disk_full(), open("/dev/full", "wb") as full:  # noqa: PTH123 (a device)
        full.write(b"x")
    with pytest.raises(OutOfSpace), translate_disk_full():
        raise OSError(errno.EDQUOT, "Disk quota exceeded")


def test_other_faults_of_a_disk_stay_what_they_are() -> None:
    """A file that is not there is no lack of room."""
    with pytest.raises(FileNotFoundError), translate_disk_full():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

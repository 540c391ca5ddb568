import errno
import io
from pathlib import Path
from typing import NoReturn

import pytest

from whisperlive_hybrid.errors import OutOfSpace
from whisperlive_hybrid.jobs.store.spool import Spool, generate_name


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """An empty spool."""
    return Spool(tmp_path / "spool", reserve=0)


def files(spool: Spool) -> list[str]:
    """Return the names of its files."""
    return [file.name for file in spool.path("x").parent.iterdir()]


def test_what_goes_in_is_whole(spool: Spool) -> None:
    """Under a name of ours."""
    name = generate_name()
    spool.add(name, io.BytesIO(b"a" * 3_000_000))
    assert spool.path(name).read_bytes() == b"a" * 3_000_000
    assert files(spool) == [name]
    spool.remove([name, name])
    assert files(spool) == []


class FullDisk(io.BytesIO):
    """Content that does not fit."""

    def read(self, size: int | None = -1, /) -> NoReturn:  # noqa: ARG002 (as declared)
        """Fail as a write to a full disk does."""
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_leaves_nothing_behind(spool: Spool) -> None:
    """No partial file takes up space."""
    with pytest.raises(OutOfSpace):
        spool.add(generate_name(), FullDisk())
    assert files(spool) == []


def test_room_is_asked_for_before_it_is_taken(tmp_path: Path) -> None:
    """An upload that would fill the disk is rejected; the message names the free space."""
    Spool(tmp_path, reserve=0).check_space(1)
    with pytest.raises(OutOfSpace, match="MiB left"):
        Spool(tmp_path, reserve=0).check_space(1 << 60)
    with pytest.raises(OutOfSpace):
        Spool(tmp_path, reserve=1 << 60).check_space(0)


def test_interrupted_work_leaves_nothing_behind(spool: Spool) -> None:
    """A cancelled download leaves no file."""

    def interrupted() -> None:
        with spool.discard_unfinished("a.media"), spool.begin("a.media") as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert files(spool) == []

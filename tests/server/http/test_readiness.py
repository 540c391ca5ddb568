import tempfile
from pathlib import Path

import pytest

from whisperlive_hybrid.backends.fake import FakeBackend
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.server.http.status import Readiness, data_directories

pytestmark = pytest.mark.anyio


async def checked(*directories: Path, floor: int = 1, is_draining: bool = False) -> set[str]:
    """Return the names of the checks that fail."""
    async with Engine(FakeBackend()) as engine:
        readiness = Readiness(
            engine,
            is_draining=lambda: is_draining,
            directories=directories,
            floor_bytes=floor,
        )
        checks = await readiness.checks()
    return {name for name, is_well in checks.items() if not is_well}


async def test_each_directory_must_have_room(tmp_path: Path) -> None:
    """One that has gone has none."""
    assert await checked(tmp_path) == set()
    assert await checked(tmp_path, floor=2**62) == {"disk"}
    assert await checked(tmp_path, tmp_path / "gone") == {"disk"}


async def test_a_server_that_drains_is_not_ready(tmp_path: Path) -> None:
    """Whatever else is well."""
    assert await checked(tmp_path, is_draining=True) == {"accepting"}


def test_both_disks_that_are_written_are_watched(tmp_path: Path) -> None:
    """Jobs and uploads may lie on different ones; what does not exist yet lies in its parent."""
    assert data_directories(tmp_path) == (tmp_path, Path(tempfile.gettempdir()))
    assert data_directories(tmp_path / "new" / "deep")[0] == tmp_path

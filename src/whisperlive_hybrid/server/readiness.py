"""Whether the server should be sent work, and if not, why."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import anyio.to_thread

from whisperlive_hybrid.engine.engine import Engine


class Readiness:
    """The checks behind /ready."""

    def __init__(
        self,
        engine: Engine,
        *,
        is_draining: Callable[[], bool],
        directories: tuple[Path, ...],
        floor_bytes: int,
    ) -> None:
        """`directories` must each have `floor_bytes` free on their disks."""
        self._engine = engine
        self._is_draining = is_draining
        self._directories = directories
        self._floor_bytes = floor_bytes

    async def checks(self) -> dict[str, bool]:
        """Every check by its name, true where all is well."""
        return {
            "model": self._engine.is_working,
            "queue": not self._engine.is_full,
            "disk": await anyio.to_thread.run_sync(self._has_room),
            "accepting": not self._is_draining(),
        }

    def _has_room(self) -> bool:
        """Blocking: a disk may be at the other end of a network."""
        return all(_free_bytes(each) >= self._floor_bytes for each in self._directories)


def _free_bytes(directory: Path) -> int:
    """0 for a directory that has gone: nothing can be written there."""
    try:
        return shutil.disk_usage(directory).free
    except OSError:
        return 0


def written_directories(data_dir: Path) -> tuple[Path, ...]:
    """Where the server writes: jobs, and uploads while they are read."""
    jobs = data_dir.expanduser().absolute()
    # It may not exist yet where no server has opened it; then its disk is that of its parent.
    existing = next(each for each in (jobs, *jobs.parents) if each.exists())
    return (existing, Path(tempfile.gettempdir()))

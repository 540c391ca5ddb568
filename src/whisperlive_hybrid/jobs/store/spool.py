"""The audio of jobs on disk, until its files have ended, under names of our own."""

import os
import shutil
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from whisperlive_hybrid.errors import OutOfSpace
from whisperlive_hybrid.system import translate_disk_full

RESERVE_BYTES: Final = 64 * 1024 * 1024
"""Space that an upload must leave free on the disk, for the database."""

# A partial file has a name of its own, so that a crash leaves no file that looks complete.
_PARTIAL: Final = ".part"
_COPY_BYTES: Final = 1024 * 1024


class Spool:
    """A directory of files. Every method blocks."""

    def __init__(self, directory: Path, reserve: int = RESERVE_BYTES) -> None:
        directory.mkdir(mode=0o700, exist_ok=True)
        self._directory = directory
        self._reserve = reserve

    def check_space(self, size: int) -> None:
        """Raise `OutOfSpace` if `size` more bytes would not leave the reserve free."""
        free = shutil.disk_usage(self._directory).free
        if free < size + self._reserve:
            raise OutOfSpace(
                f"The disk of this server has {free // 2**20} MiB left, too little for this job."
            )

    def add(self, name: str, content: BinaryIO) -> None:
        """Copy a file into the spool; when this returns, it survives a power failure.

        Raises `OutOfSpace` if there is no space, and leaves no partial file.
        """
        with self.discard_unfinished(name):
            with self.begin(name) as file:
                shutil.copyfileobj(content, file, _COPY_BYTES)
            self.commit(name)

    def begin(self, name: str) -> BinaryIO:
        """Open a file for writing, which gets its name by `commit`."""
        return self._partial(name).open("wb")

    def commit(self, name: str) -> None:
        """Give a file its name, atomically: after a power failure it is complete or absent."""
        # The content must be on the disk before the name is, and the name before this returns.
        _flush(self._partial(name))
        self._partial(name).rename(self.path(name))
        _flush(self._directory)

    @contextmanager
    def discard_unfinished(self, name: str) -> Iterator[None]:
        """Delete the file at the end unless it was committed; raises `OutOfSpace`."""
        try:
            with translate_disk_full():
                yield
        finally:
            # After `commit` there is none.
            self._partial(name).unlink(missing_ok=True)

    def path(self, name: str) -> Path:
        """Return the path of a file, which need not exist."""
        return self._directory / name

    def remove(self, names: Collection[str]) -> None:
        """Delete files; missing ones are ignored."""
        for name in names:
            self.path(name).unlink(missing_ok=True)

    def remove_all_except(self, names: Collection[str]) -> list[str]:
        """Delete all other files, and return their names."""
        unknown = [file for file in self._directory.iterdir() if file.name not in names]
        for file in unknown:
            file.unlink(missing_ok=True)
        return [file.name for file in unknown]

    def _partial(self, name: str) -> Path:
        return self.path(name).with_suffix(_PARTIAL)


def generate_name() -> str:
    """Return a name that is not in use."""
    return f"{uuid.uuid4().hex}.media"


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

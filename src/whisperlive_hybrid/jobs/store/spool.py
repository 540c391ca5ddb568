"""Uploads on disk, under names of our own, as long as their jobs need them."""

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
"""What an upload must leave free on the disk: the database grows too."""

_PARTIAL: Final = ".part"
_COPY_BYTES: Final = 1024 * 1024


class Spool:
    """One directory of files. Every method blocks."""

    def __init__(self, directory: Path, reserve: int = RESERVE_BYTES) -> None:
        directory.mkdir(mode=0o700, exist_ok=True)
        self._directory = directory
        self._reserve = reserve

    def check_room(self, size: int) -> None:
        """Raise `OutOfSpace` if `size` bytes more would not leave the reserve free."""
        free = shutil.disk_usage(self._directory).free
        if free < size + self._reserve:
            raise OutOfSpace(
                f"The disk of this server has {free // 2**20} MiB left, too little for this job."
            )

    def add(self, name: str, content: BinaryIO) -> None:
        """Copy a file in; when this returns, it is safe on the disk.

        Raises `OutOfSpace` where there is no room, and leaves nothing behind.
        """
        with self.whole_or_gone(name):
            with self.begin(name) as file:
                shutil.copyfileobj(content, file, _COPY_BYTES)
            self.settle(name)

    def begin(self, name: str) -> BinaryIO:
        """Open a file for writing that has no name yet."""
        return self._partial(name).open("wb")

    def settle(self, name: str) -> None:
        """Flush, rename, flush the directory: after a power cut there is all of it or nothing."""
        _flush(self._partial(name))
        self._partial(name).rename(self.path(name))
        _flush(self._directory)

    @contextmanager
    def whole_or_gone(self, name: str) -> Iterator[None]:
        """Delete what was written if it was not settled; raises `OutOfSpace` for a full disk."""
        try:
            with translate_disk_full():
                yield
        finally:
            self._partial(name).unlink(missing_ok=True)

    def path(self, name: str) -> Path:
        """Where a file of that name lies, or would lie."""
        return self._directory / name

    def remove(self, names: Collection[str]) -> None:
        """Delete files; those that are gone already are no matter."""
        for name in names:
            self.path(name).unlink(missing_ok=True)

    def remove_all_but(self, names: Collection[str]) -> list[str]:
        """Delete every file that nobody knows of, and return their names."""
        unknown = [file for file in self._directory.iterdir() if file.name not in names]
        for file in unknown:
            file.unlink(missing_ok=True)
        return [file.name for file in unknown]

    def _partial(self, name: str) -> Path:
        return self.path(name).with_suffix(_PARTIAL)


def new_name() -> str:
    """A name that no file has."""
    return f"{uuid.uuid4().hex}.media"


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

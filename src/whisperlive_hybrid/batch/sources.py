"""Where recordings of a batch come from: files, standard input, URLs."""

import os
import re
import shutil
import stat
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final
from urllib.parse import unquote, urlsplit

from whisperlive_hybrid.batch.manifest import Stamp
from whisperlive_hybrid.errors import BadAudio

_LONGEST_NAME: Final = 150
"""Characters of a file name that are taken from a URL."""


@dataclass(frozen=True, slots=True)
class FileSource:
    """A file, as it was found."""

    path: Path
    below: PurePosixPath
    """Its place below the directory that was given; its mere name if itself was named."""
    parent: str
    """The name of that directory, or of the one that the file lies in."""

    @property
    def label(self) -> str:
        """How the user knows it, printable whatever bytes the name holds."""
        return printable(str(self.path))

    @property
    def filename(self) -> str:
        """What a server is told that it is called."""
        return printable(self.path.name)

    @property
    def identity(self) -> str:
        """Equal for two names of the same file."""
        return str(self.path.resolve())

    @property
    def names(self) -> tuple[str, ...]:
        """What its outputs may be called, shortest first."""
        full = str(self.below)
        return _without_suffix(full), full, f"{self.parent}/{full}"

    def stamp(self) -> Stamp | None:
        """Its state now; None for what is no plain file. Raises `BadAudio` if it has gone."""
        try:
            found = self.path.stat()
        except OSError as error:
            raise unreadable(error) from error
        if not stat.S_ISREG(found.st_mode):
            return None
        return Stamp(str(self.below), found.st_size, found.st_mtime_ns)

    def open(self) -> BinaryIO:
        """Open it for reading and jumping; blocks. Raises `BadAudio`."""
        try:
            file = self.path.open("rb")
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return file
            with file:
                return _copied(file)
        except OSError as error:
            raise unreadable(error) from error


@dataclass(frozen=True, slots=True)
class StandardInput:
    """What is piped into the command: one recording."""

    label: str = "standard input"
    filename: str = "stdin"
    identity: str = "-"
    names: tuple[str, ...] = ("stdin",)

    def stamp(self) -> Stamp | None:
        """None: nobody knows whether the next one is the same."""
        return None

    def open(self) -> BinaryIO:
        """Read it to its end, into a file without a name; blocks. Raises `BadAudio`."""
        try:
            return _copied(sys.stdin.buffer)
        except OSError as error:
            raise unreadable(error) from error


@dataclass(frozen=True, slots=True)
class UrlSource:
    """A recording that a server fetches."""

    url: str

    @property
    def label(self) -> str:
        """The URL."""
        return self.url

    @property
    def identity(self) -> str:
        """The URL: what lies behind two of them nobody knows."""
        return self.url

    @property
    def names(self) -> tuple[str, ...]:
        """By the last part of its path, then with its host in front."""
        parts = urlsplit(self.url)
        host = _safe(parts.hostname or "url")
        full = _safe(unquote(parts.path).rstrip("/").rpartition("/")[2]) or host
        return _without_suffix(full), full, f"{host}/{full}"

    def stamp(self) -> Stamp | None:
        """The URL; whether its content has changed is not known."""
        return Stamp(self.url)


Source = FileSource | StandardInput | UrlSource


def printable(text: str) -> str:
    """A name of a file as text: bytes that are none become question marks."""
    return os.fsencode(text).decode("utf-8", "replace")


def _without_suffix(name: str) -> str:
    return name.removesuffix(PurePosixPath(name).suffix)


def _copied(stream: BinaryIO) -> BinaryIO:
    """A stream as a file that can be read twice; it is gone when it is closed."""
    copy: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 (the caller closes it)
    try:
        shutil.copyfileobj(stream, copy)
    except BaseException:
        copy.close()
        raise
    copy.seek(0)
    return copy


def _safe(name: str) -> str:
    """A part of a URL as the name of a file: visible, no path, not hidden."""
    visible = "".join(filter(str.isprintable, re.sub(r"[/\\]", "_", name)))
    return visible.strip(" .")[:_LONGEST_NAME]


def unreadable(error: OSError) -> BadAudio:
    """What the user is told of a file that cannot be read."""
    return BadAudio(f"Cannot be read: {error.strerror}.", param="file")

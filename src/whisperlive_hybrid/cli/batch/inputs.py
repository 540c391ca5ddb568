"""From what was typed to a list of recordings, each once, each with a name for its outputs."""

import glob
import os
import re
import shutil
import stat
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final
from urllib.parse import unquote, urlsplit

from whisperlive_hybrid.cli.batch.manifest import Stamp
from whisperlive_hybrid.errors import BadAudio, BadRequest
from whisperlive_hybrid.media.suffixes import MEDIA_SUFFIXES

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


STANDARD_INPUT: Final = "-"


@dataclass(frozen=True, slots=True)
class Item:
    """One recording of a batch."""

    source: Source
    name: str
    """Of its outputs, below the directory of outputs and without the suffix of a format."""


def planned(inputs: Sequence[str], *, takes_urls: bool) -> list[Item]:
    """The recordings that `inputs` name, in their order, those of a directory sorted.

    Raises `BadRequest` for an input that names none, for a URL where nobody fetches it, and where
    two outputs would have the same name.
    """
    first: dict[str, Source] = {}
    for each in inputs:
        for source in _sources(each, takes_urls=takes_urls):
            first.setdefault(source.identity, source)
    sources = list(first.values())
    return [Item(source, name) for source, name in zip(sources, named(sources), strict=True)]


def named(sources: Sequence[Source]) -> list[str]:
    """A name for the outputs of each source, all different: the shortest that is unambiguous.

    Raises `BadRequest` where even the longest names are the same.
    """
    lengths = [0] * len(sources)
    while True:
        names = [source.names[length] for source, length in zip(sources, lengths, strict=True)]
        clashes = {name for name, count in Counter(names).items() if count > 1}
        if not clashes:
            return names
        for clash in clashes:
            among = [i for i, name in enumerate(names) if name == clash]
            growing = [i for i in among if lengths[i] + 1 < len(sources[i].names)]
            if not growing:
                raise _same_output([sources[i].label for i in among], clash)
            for i in growing:
                lengths[i] += 1


def _same_output(labels: Sequence[str], name: str) -> BadRequest:
    return BadRequest(
        f"{' and '.join(labels)} would be written to the same file {printable(name)!r}; "
        "transcribe them into different directories."
    )


def output_files(item: Item, directory: Path, suffixes: Iterable[str]) -> list[Path]:
    """Where the outputs of a recording go."""
    return [directory / f"{item.name}.{suffix}" for suffix in suffixes]


def check_outputs(items: Sequence[Item], directory: Path, suffixes: Sequence[str]) -> None:
    """Raise `BadRequest` where an output would replace a recording."""
    sources = {item.source.identity: item.source.label for item in items}
    for item in items:
        for file in output_files(item, directory, suffixes):
            if taken := sources.get(str(file.resolve())):
                raise BadRequest(f"The transcript would replace the recording {taken}.")


def _sources(given: str, *, takes_urls: bool) -> Iterator[Source]:
    """What one argument stands for. A file of that very name comes before a pattern."""
    path = Path(given)
    if given == STANDARD_INPUT:
        yield StandardInput()
    elif is_url(given):
        yield _url(given, takes_urls=takes_urls)
    elif path.is_dir():
        yield from _some(given, list(_below(path)))
    elif path.exists():
        yield _file(path)
    elif glob.has_magic(given):
        yield from _some(given, list(_matching(given)))
    else:
        raise BadRequest(f"There is no file or directory {printable(given)!r}.")


def is_url(given: str) -> bool:
    """Whether it is the address of a recording, and not of a file here."""
    return given.lower().startswith(("http://", "https://"))


def _url(given: str, *, takes_urls: bool) -> UrlSource:
    if not takes_urls:
        raise BadRequest(
            f"{given!r} can only be fetched by a server: name one with --jobs-url, "
            "or download it first."
        )
    try:
        has_host = bool(urlsplit(given).hostname)
    except ValueError:  # such as brackets without an IPv6 address
        has_host = False
    if not has_host:
        raise BadRequest(f"{given!r} is no URL of a recording.")
    return UrlSource(given)


def _some(given: str, sources: list[FileSource]) -> list[FileSource]:
    if not sources:
        raise BadRequest(
            f"Nothing in {printable(given)!r} looks like audio or video by its suffix; "
            "a file that is named itself is always tried."
        )
    return sources


def _matching(pattern: str) -> Iterator[FileSource]:
    """Media files that match; any file if the pattern spells out a suffix, as `*.dat` does."""
    suffix = Path(pattern).suffix
    takes_any = bool(suffix) and not glob.has_magic(suffix)
    # pathlib's own has no absolute patterns, and takes hidden files.
    for match in sorted(glob.glob(pattern, recursive=True)):  # noqa: PTH207
        path = Path(match)
        if path.is_dir():
            yield from _below(path)
        elif takes_any or is_media(path):
            yield _file(path)


def _below(directory: Path) -> Iterator[FileSource]:
    """Media files in a directory and its directories, sorted; hidden ones are left out.

    Links to directories are not followed: they may lead in circles.
    """
    for place, directories, files in os.walk(directory):
        directories[:] = sorted(name for name in directories if not name.startswith("."))
        for name in sorted(files):
            path = Path(place, name)
            if not name.startswith(".") and is_media(path):
                below = PurePosixPath(path.relative_to(directory).as_posix())
                yield FileSource(path, below, directory.resolve().name)


def _file(path: Path) -> FileSource:
    return FileSource(path, PurePosixPath(path.name), path.parent.resolve().name)


def is_media(path: Path) -> bool:
    """Whether a file looks like audio or video by its name."""
    return path.suffix.lower() in MEDIA_SUFFIXES

"""Find the recordings that the arguments name, and choose a name for the outputs of each."""

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

from whisperlive_hybrid.cli.batch.manifest import SourceState
from whisperlive_hybrid.errors import BadAudio, BadRequest
from whisperlive_hybrid.media.suffixes import MEDIA_SUFFIXES

_LONGEST_NAME: Final = 150
"""Characters of a file name made from a URL."""


@dataclass(frozen=True, slots=True)
class FileSource:
    """A file on this machine."""

    path: Path
    below: PurePosixPath
    """The path below the directory that was given; the file name if the file was given."""
    parent: str
    """The name of that directory, or of the one that contains the file."""

    @property
    def label(self) -> str:
        """The name in messages."""
        return printable(str(self.path))

    @property
    def filename(self) -> str:
        """The name that is sent to a server."""
        return printable(self.path.name)

    @property
    def identity(self) -> str:
        """A key that is equal for two names of the same file."""
        return str(self.path.resolve())

    @property
    def names(self) -> tuple[str, ...]:
        """Possible names of the outputs, shortest first."""
        full = str(self.below)
        return _without_suffix(full), full, f"{self.parent}/{full}"

    def read_state(self) -> SourceState | None:
        """Return the current state; None unless it is a regular file.

        Raises `BadAudio` if the file is gone.
        """
        try:
            status = self.path.stat()
        except OSError as error:
            raise as_bad_audio(error) from error
        if not stat.S_ISREG(status.st_mode):
            return None
        return SourceState(str(self.below), status.st_size, status.st_mtime_ns)

    def open(self) -> BinaryIO:
        """Open the file for reading and seeking; blocks. Raises `BadAudio`."""
        try:
            file = self.path.open("rb")
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return file
            with file:
                return _copy_to_file(file)
        except OSError as error:
            raise as_bad_audio(error) from error


@dataclass(frozen=True, slots=True)
class StandardInput:
    """Standard input of the command: one recording."""

    label: str = "standard input"
    filename: str = "stdin"
    identity: str = "-"
    names: tuple[str, ...] = ("stdin",)

    def read_state(self) -> SourceState | None:
        """Return None: the input of the next command cannot be compared with this one."""
        return None

    def open(self) -> BinaryIO:
        """Read the input to its end, into a file without a name; blocks. Raises `BadAudio`."""
        # A pipe cannot be decoded while it is read: the index of a container may be at its end.
        try:
            return _copy_to_file(sys.stdin.buffer)
        except OSError as error:
            raise as_bad_audio(error) from error


@dataclass(frozen=True, slots=True)
class UrlSource:
    """A recording that a server downloads."""

    url: str

    @property
    def label(self) -> str:
        """The URL."""
        return self.url

    @property
    def identity(self) -> str:
        """The URL; two URLs of the same recording are not recognised."""
        return self.url

    @property
    def names(self) -> tuple[str, ...]:
        """The last part of the path, then the same below the host."""
        parts = urlsplit(self.url)
        host = _to_file_name(parts.hostname or "url")
        full = _to_file_name(unquote(parts.path).rstrip("/").rpartition("/")[2]) or host
        return _without_suffix(full), full, f"{host}/{full}"

    def read_state(self) -> SourceState | None:
        """Return the URL as the state; changes of its content are not noticed."""
        return SourceState(self.url)


Source = FileSource | StandardInput | UrlSource


def printable(text: str) -> str:
    """Return a file name as valid text, with question marks for undecodable bytes."""
    # Python represents such bytes by surrogates, which can be neither printed nor sent.
    return os.fsencode(text).decode("utf-8", "replace")


def _without_suffix(name: str) -> str:
    return name.removesuffix(PurePosixPath(name).suffix)


def _copy_to_file(stream: BinaryIO) -> BinaryIO:
    """Copy a stream to a seekable file that is deleted when it is closed."""
    copy: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 (the caller closes it)
    try:
        shutil.copyfileobj(stream, copy)
    except BaseException:
        copy.close()
        raise
    copy.seek(0)
    return copy


def _to_file_name(name: str) -> str:
    """Make a file name of a part of a URL: printable, without path, not hidden."""
    visible = "".join(filter(str.isprintable, re.sub(r"[/\\]", "_", name)))
    return visible.strip(" .")[:_LONGEST_NAME]


def as_bad_audio(error: OSError) -> BadAudio:
    """Translate the error of a file that cannot be read."""
    return BadAudio(f"Cannot be read: {error.strerror}.", param="file")


STANDARD_INPUT: Final = "-"


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One recording of a batch."""

    source: Source
    name: str
    """The path of its outputs below the output directory, without the suffix of a format."""


def plan_items(inputs: Sequence[str], *, takes_urls: bool) -> list[BatchItem]:
    """Return the recordings that `inputs` name, in their order, those of a directory sorted.

    Each recording occurs once. Raises `BadRequest` for an input without recordings, for a URL
    unless `takes_urls`, and where two outputs would have the same name.
    """
    first: dict[str, Source] = {}
    for given in inputs:
        for source in _find_sources(given, takes_urls=takes_urls):
            first.setdefault(source.identity, source)
    sources = list(first.values())
    names = choose_names(sources)
    return [BatchItem(source, name) for source, name in zip(sources, names, strict=True)]


def choose_names(sources: Sequence[Source]) -> list[str]:
    """Choose a name for the outputs of each source: the shortest that is unambiguous.

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
            # Only clashing names grow, so that most outputs keep their short names.
            growing = [i for i in among if lengths[i] + 1 < len(sources[i].names)]
            if not growing:
                labels = " and ".join(sources[i].label for i in among)
                raise BadRequest(
                    f"{labels} would be written to the same file {printable(clash)!r}; "
                    "transcribe them into different directories."
                )
            for i in growing:
                lengths[i] += 1


def output_files(item: BatchItem, directory: Path, suffixes: Iterable[str]) -> list[Path]:
    """Return the paths of the outputs of a recording."""
    return [directory / f"{item.name}.{suffix}" for suffix in suffixes]


def check_outputs(items: Sequence[BatchItem], directory: Path, suffixes: Sequence[str]) -> None:
    """Raise `BadRequest` where an output would replace a recording."""
    sources = {item.source.identity: item.source.label for item in items}
    for item in items:
        for file in output_files(item, directory, suffixes):
            if taken := sources.get(str(file.resolve())):
                raise BadRequest(f"The transcript would replace the recording {taken}.")


def _find_sources(given: str, *, takes_urls: bool) -> Iterator[Source]:
    """Yield the recordings that one argument names."""
    path = Path(given)
    if given == STANDARD_INPUT:
        yield StandardInput()
    elif is_url(given):
        yield _parse_url(given, takes_urls=takes_urls)
    # A file of exactly that name wins over a pattern: names may contain brackets.
    elif path.is_dir():
        yield from _require_any(given, list(_walk_media(path)))
    elif path.exists():
        yield _file_source(path)
    elif glob.has_magic(given):
        yield from _require_any(given, list(_glob_media(given)))
    else:
        raise BadRequest(f"There is no file or directory {printable(given)!r}.")


def is_url(given: str) -> bool:
    """Return True for an HTTP(S) URL."""
    return given.lower().startswith(("http://", "https://"))


def _parse_url(given: str, *, takes_urls: bool) -> UrlSource:
    if not takes_urls:
        raise BadRequest(
            f"Only a server can download {given!r}: name one with --jobs-url, or download it first."
        )
    try:
        has_host = bool(urlsplit(given).hostname)
    except ValueError:  # such as brackets without an IPv6 address
        has_host = False
    if not has_host:
        raise BadRequest(f"{given!r} is not a valid URL.")
    return UrlSource(given)


def _require_any(given: str, sources: list[FileSource]) -> list[FileSource]:
    if not sources:
        raise BadRequest(
            f"No file in {printable(given)!r} has the suffix of audio or video; "
            "a file that is named itself is always tried."
        )
    return sources


def _glob_media(pattern: str) -> Iterator[FileSource]:
    """Yield media files that match; any file if the pattern has a literal suffix, as `*.dat`."""
    suffix = Path(pattern).suffix
    takes_any = bool(suffix) and not glob.has_magic(suffix)
    # pathlib's glob takes no absolute patterns, and matches hidden files.
    for match in sorted(glob.glob(pattern, recursive=True)):  # noqa: PTH207
        path = Path(match)
        if path.is_dir():
            yield from _walk_media(path)
        elif takes_any or is_media(path):
            yield _file_source(path)


def _walk_media(directory: Path) -> Iterator[FileSource]:
    """Yield the media files below a directory, sorted, without hidden ones.

    Links to directories are not followed: they may form cycles.
    """
    for folder, directories, files in os.walk(directory):
        # In place: `os.walk` descends into the directories that remain in the list.
        directories[:] = sorted(name for name in directories if not name.startswith("."))
        for name in sorted(files):
            path = Path(folder, name)
            if not name.startswith(".") and is_media(path):
                below = PurePosixPath(path.relative_to(directory).as_posix())
                yield FileSource(path, below, directory.resolve().name)


def _file_source(path: Path) -> FileSource:
    return FileSource(path, PurePosixPath(path.name), path.parent.resolve().name)


def is_media(path: Path) -> bool:
    """Return True for the suffix of an audio or video file."""
    return path.suffix.lower() in MEDIA_SUFFIXES

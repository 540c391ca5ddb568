"""From what was typed to a list of recordings, each once, each with a name for its outputs."""

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import urlsplit

from whisperlive_hybrid.batch.sources import FileSource, Source, StandardInput, UrlSource, printable
from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.media.suffixes import MEDIA_SUFFIXES

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

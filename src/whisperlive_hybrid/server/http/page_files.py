"""The files of the web page, read once: what is not among them cannot be asked for."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from whisperlive_hybrid.errors import NotFound

PAGE: Final = "index.html"
SAMPLE: Final = "sample.flac"

_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "flac": "audio/flac",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}
"""By suffix. The operating system's own table differs from machine to machine, and browsers run no
module and no worklet of another type."""


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file as it is sent."""

    content: bytes
    media_type: str


class PageFiles:
    """Every file below `server/web/`, and a sample to try, by their paths.

    `build` is made of all of them and stands in their addresses, so a browser may keep each for
    ever and never puts files of two versions together.
    """

    def __init__(self) -> None:
        package = files("whisperlive_hybrid")
        self._files = dict(_read(package / "server" / "web", ""))
        sample = package / "assets" / "samples" / "en.flac"
        self._files[SAMPLE] = PageFile(sample.read_bytes(), _TYPES["flac"])
        digest = hashlib.sha256()
        for name in sorted(self._files):
            digest.update(name.encode() + b"\0" + self._files[name].content + b"\0")
        self.build = digest.hexdigest()[:16]

    def __iter__(self) -> Iterator[str]:
        """The paths."""
        return iter(self._files)

    def get(self, build: str, name: str) -> PageFile:
        """One file; raises `NotFound` for another build's and for what is none."""
        if build != self.build or name not in self._files:
            raise NotFound(f"The page has no file {name[:80]!r} in this version; load it anew.")
        return self._files[name]

    def page(self, **values: str) -> str:
        """The page itself, with `values` put where its text says `{{name}}`."""
        text = self._files[PAGE].content.decode()
        for name, value in values.items():
            text = text.replace(f"{{{{{name}}}}}", value)
        return text


def _read(directory: Traversable, prefix: str) -> Iterator[tuple[str, PageFile]]:
    """The files below a directory; those whose type nobody would know are not for sending."""
    for entry in directory.iterdir():
        path = f"{prefix}{entry.name}"
        if entry.is_dir():
            yield from _read(entry, f"{path}/")
        elif (suffix := path.rpartition(".")[2]) in _TYPES:
            yield path, PageFile(entry.read_bytes(), _TYPES[suffix])

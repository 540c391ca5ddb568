"""Other servers, as jobs need them: where URLs are fetched, and webhooks are sent."""

from collections.abc import Mapping
from typing import BinaryIO, Protocol


class Download(Protocol):
    """What was fetched."""

    @property
    def filename(self) -> str:
        """A label, no path and no promise of a format."""


class Fetcher(Protocol):
    """Asks other servers on behalf of clients, and lets nobody reach what is not public."""

    def check(self, url: str) -> None:
        """Raise `BadRequest` for a URL that would be refused whatever the network says."""

    async def download(self, url: str, into: BinaryIO) -> Download:
        """Write what is found at `url` to a file; raises `BadRequest`, `Overloaded`."""

    async def post(self, url: str, content: bytes, headers: Mapping[str, str]) -> int:
        """Send `content`; return the status that is answered. Raises as `download`."""

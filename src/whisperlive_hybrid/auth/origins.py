"""Which web pages may speak to a door, and under which names it is known.

A browser lets every page send requests to every server that it reaches, those on its own machine
included. What no page can change is what the browser adds: where the page came from (Origin) and
the name that it looked up (Host). Programs send no origin, and are none of this.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from whisperlive_hybrid.auth.network import is_loopback, read_address
from whisperlive_hybrid.config import Settings
from whisperlive_hybrid.errors import BadRequest, Forbidden

ANY: Final = "*"
"""In either list: all of them."""

OPAQUE: Final = "null"
"""The origin of a file that was opened in a browser, of Firefox' content scripts, and of every
frame that its page has put into a sandbox."""

WEB_PORTS: Final = {"http": 80, "https": 443}
"""The schemes that pages of others have; all others belong to what was installed."""

_ORIGIN: Final = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<authority>[^\s/?#,]*)")
_AUTHORITY: Final = re.compile(r"(?P<name>\[[0-9a-f:.]+]|[^\s:/?#@,\[\]]+)(:(?P<port>[0-9]{1,5}))?")
_LONGEST_QUOTE: Final = 100


@dataclass(frozen=True, slots=True)
class Pages:
    """The pages and names of one door; the name of our own page is that of the server."""

    origins: frozenset[str]
    """Of pages of others, each as a browser sends it; or `ANY`."""
    hosts: frozenset[str]
    """Names of the server, in lower case, besides addresses and localhost; or `ANY`."""
    ports: frozenset[int] | None = frozenset()
    """Where pages under our name come from, besides the port that was asked; None: any port."""
    takes_installed: bool = False
    """Whether browser extensions and the like are welcome without being listed."""

    @staticmethod
    def of_files(settings: Settings) -> "Pages":
        """Those of the file door. Raises `BadRequest` for a list that makes no sense."""
        hosts = frozenset(_listed_host(each) for each in _entries(settings.allowed_hosts))
        if not hosts and not is_loopback(settings.host):
            hosts = frozenset({ANY})
        return Pages(
            frozenset(_listed_origin(each) for each in _entries(settings.allowed_origins)),
            hosts | {settings.host.lower()},
            frozenset({settings.http_port, settings.live_port}),
        )

    @staticmethod
    def of_live(settings: Settings) -> "Pages":
        """Those of the live door, whose clients are pages of others too; it tells nobody's text.

        Raises as `of_files`.
        """
        pages = replace(Pages.of_files(settings), ports=None, takes_installed=True)
        if pages.origins or is_loopback(settings.host):
            return pages
        return replace(pages, origins=frozenset({OPAQUE}))

    def check(self, origins: Sequence[str], hosts: Sequence[str]) -> None:
        """Judge a request by its Origin and Host headers. Raises `Forbidden`."""
        self.check_host(hosts)
        origin, host = _sole(origins), _sole(hosts)
        if origin is not None and not self._welcomes(origin.lower(), (host or "").lower()):
            raise Forbidden(
                f"Web pages of the origin {origin[:_LONGEST_QUOTE]!r} may not use this server; "
                "its operator can allow them with WHISPERLIVE_ALLOWED_ORIGINS.",
                code="origin_not_allowed",
            )

    def check_host(self, hosts: Sequence[str]) -> None:
        """Judge the name that was looked up; without one, no browser asks. Raises `Forbidden`."""
        host = _sole(hosts)
        if host is not None and not self._is_known(host.lower()):
            raise Forbidden(
                f"This server is not known as {host[:_LONGEST_QUOTE]!r}; its operator can add "
                "names with WHISPERLIVE_ALLOWED_HOSTS.",
                code="host_not_allowed",
            )

    def _welcomes(self, origin: str, host: str) -> bool:
        if not self.origins.isdisjoint({origin, ANY}):
            return True
        page = _ORIGIN.fullmatch(origin)
        if page is None:
            return False
        if page["scheme"] not in WEB_PORTS:
            return self.takes_installed
        return self._is_ours(page["authority"], WEB_PORTS[page["scheme"]], host)

    def _is_ours(self, authority: str, default_port: int, host: str) -> bool:
        """Whether a page comes from the name that was asked, and a port of ours."""
        page, here = _AUTHORITY.fullmatch(authority), _AUTHORITY.fullmatch(host)
        if page is None or here is None or page["name"] != here["name"]:
            return False
        if self.ports is None or authority == host:
            return True
        return int(page["port"] or default_port) in self.ports

    def _is_known(self, host: str) -> bool:
        """An address was not looked up, and localhost belongs to nobody."""
        if ANY in self.hosts:
            return True
        here = _AUTHORITY.fullmatch(host)
        if here is None:
            return False
        name = here["name"].rstrip(".")
        return name == "localhost" or name in self.hosts or read_address(name) is not None


def _sole(values: Sequence[str]) -> str | None:
    """The value of a header; one that came twice is joined as proxies do, and matches nothing."""
    return ", ".join(values) if values else None


def _entries(written: str) -> Iterable[str]:
    return (entry for each in written.split(",") if (entry := each.strip().lower()))


def _listed_origin(entry: str) -> str:
    """An origin as browsers send it: no slash at the end, no port that is the scheme's own."""
    if entry in {ANY, OPAQUE}:
        return entry
    page = _ORIGIN.fullmatch(entry) or _ORIGIN.fullmatch(entry.removesuffix("/"))
    if page is None:
        raise BadRequest(
            f"WHISPERLIVE_ALLOWED_ORIGINS: {entry!r} is no origin; write https://app.example.com, "
            f"{OPAQUE} or {ANY}."
        )
    return page[0].removesuffix(f":{WEB_PORTS.get(page['scheme'], '')}")


def _listed_host(entry: str) -> str:
    if entry == ANY:
        return entry
    host = _AUTHORITY.fullmatch(entry)
    if host is None:
        raise BadRequest(
            f"WHISPERLIVE_ALLOWED_HOSTS: {entry!r} is no name of a host; write "
            f"speech.example.com or {ANY}."
        )
    return host["name"].rstrip(".")

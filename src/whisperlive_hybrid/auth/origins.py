"""Checks of the Origin and Host headers: which web pages may use a server, under which names.

A browser lets every web page send requests to every server that it can reach, including those on
its own machine. A page cannot change what the browser adds: its origin (Origin) and the name that
was looked up (Host, against DNS rebinding). Other clients send no Origin and are not restricted.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from whisperlive_hybrid.auth.network import is_loopback, parse_address
from whisperlive_hybrid.errors import BadRequest, Forbidden

ANY: Final = "*"
"""In either list: all origins, or all names."""

OPAQUE: Final = "null"
"""The origin of a file opened in a browser, of Firefox' content scripts, and of sandboxed
frames."""

WEB_PORTS: Final = {"http": 80, "https": 443}
"""The schemes of web pages, with their default ports; other schemes are those of installed
software, such as browser extensions."""

_ORIGIN: Final = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<authority>[^\s/?#,]*)")
_AUTHORITY: Final = re.compile(r"(?P<name>\[[0-9a-f:.]+]|[^\s:/?#@,\[\]]+)(:(?P<port>[0-9]{1,5}))?")
_MAX_QUOTE: Final = 100


@dataclass(frozen=True, slots=True)
class OriginPolicy:
    """The origins and host names of one server.

    Pages of the server's own origin are always allowed.
    """

    origins: frozenset[str]
    """Allowed foreign origins, as a browser sends them; or `ANY`."""
    hosts: frozenset[str]
    """Names of the server in lower case, besides IP addresses and localhost; or `ANY`."""
    ports: frozenset[int] | None = frozenset()
    """Ports of our own pages, besides the port of the request; None: any port."""
    allows_extensions: bool = False
    """Browser extensions and other installed software are allowed without being listed."""

    @staticmethod
    def for_http(
        host: str, allowed_origins: str, allowed_hosts: str, ports: frozenset[int]
    ) -> "OriginPolicy":
        """Return the policy of an HTTP server that listens on `host`.

        The lists are written with commas; `ports` are those of its own pages. Raises `BadRequest`
        for an invalid list.
        """
        hosts = frozenset(_parse_host(entry) for entry in _entries(allowed_hosts))
        # A server on a public interface has names that only its operator knows.
        if not hosts and not is_loopback(host):
            hosts = frozenset({ANY})
        return OriginPolicy(
            frozenset(_parse_origin(entry) for entry in _entries(allowed_origins)),
            hosts | {host.lower()},
            ports,
        )

    def for_live(self, host: str) -> "OriginPolicy":
        """Return the policy of the live server beside the HTTP server of this one.

        It is wider: its clients are foreign pages and browser extensions as well, and a live
        stream reveals no text but that of its own audio.
        """
        # A page at another port of the same host belongs to a program on that machine.
        policy = replace(self, ports=None, allows_extensions=True)
        if policy.origins or is_loopback(host):
            return policy
        # Firefox' extension sends `null`, and so does any sandboxed frame: the two cannot be
        # distinguished. Accepting both puts only machine time at risk (docs/decisions/0011).
        return replace(policy, origins=frozenset({OPAQUE}))

    def check(self, origins: Sequence[str], hosts: Sequence[str]) -> None:
        """Check the Origin and Host headers of a request. Raises `Forbidden`."""
        # First, since a page after DNS rebinding has an Origin equal to its Host.
        self.check_host(hosts)
        origin, host = _join(origins), _join(hosts)
        if origin is not None and not self._allows(origin.lower(), (host or "").lower()):
            raise Forbidden(
                f"Web pages of the origin {origin[:_MAX_QUOTE]!r} may not use this server; "
                "its operator can allow them with WHISPERLIVE_ALLOWED_ORIGINS.",
                code="origin_not_allowed",
            )

    def check_host(self, hosts: Sequence[str]) -> None:
        """Check the Host headers of a request. Raises `Forbidden`."""
        host = _join(hosts)
        # A request without the header does not come from a browser.
        if host is not None and not self._has_host(host.lower()):
            raise Forbidden(
                f"This server is not known as {host[:_MAX_QUOTE]!r}; its operator can add "
                "names with WHISPERLIVE_ALLOWED_HOSTS.",
                code="host_not_allowed",
            )

    def _allows(self, origin: str, host: str) -> bool:
        if not self.origins.isdisjoint({origin, ANY}):
            return True
        match = _ORIGIN.fullmatch(origin)
        if match is None:
            return False
        if match["scheme"] not in WEB_PORTS:
            return self.allows_extensions
        # A page of our own: the name is the one in the request, and the port is one of ours.
        page, server = _AUTHORITY.fullmatch(match["authority"]), _AUTHORITY.fullmatch(host)
        if page is None or server is None or page["name"] != server["name"]:
            return False
        if self.ports is None or match["authority"] == host:
            return True
        return int(page["port"] or WEB_PORTS[match["scheme"]]) in self.ports

    def _has_host(self, host: str) -> bool:
        if ANY in self.hosts:
            return True
        match = _AUTHORITY.fullmatch(host)
        if match is None:
            return False
        name = match["name"].rstrip(".")
        # DNS rebinding needs a name that an attacker controls: neither localhost nor an address.
        return name == "localhost" or name in self.hosts or parse_address(name) is not None


def _join(values: Sequence[str]) -> str | None:
    """Return the value of a header; repeated ones are joined as by proxies, and match nothing."""
    return ", ".join(values) if values else None


def _entries(setting: str) -> Iterable[str]:
    return filter(None, (entry.strip().lower() for entry in setting.split(",")))


def _parse_origin(entry: str) -> str:
    """Return an origin as browsers send it: no slash at the end, no default port."""
    if entry in {ANY, OPAQUE}:
        return entry
    match = _ORIGIN.fullmatch(entry) or _ORIGIN.fullmatch(entry.removesuffix("/"))
    if match is None:
        raise BadRequest(
            f"WHISPERLIVE_ALLOWED_ORIGINS: {entry!r} is not an origin; write "
            f"https://app.example.com, {OPAQUE} or {ANY}."
        )
    return match[0].removesuffix(f":{WEB_PORTS.get(match['scheme'], '')}")


def _parse_host(entry: str) -> str:
    if entry == ANY:
        return entry
    match = _AUTHORITY.fullmatch(entry)
    if match is None:
        raise BadRequest(
            f"WHISPERLIVE_ALLOWED_HOSTS: {entry!r} is not a host name; write "
            f"speech.example.com or {ANY}."
        )
    return match["name"].rstrip(".")

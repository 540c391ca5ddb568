"""Which addresses may be reached: public ones, and those that the operator lists.

A client that names a URL lends our place in the network: without this judgement it would read
what only we can reach (server-side request forgery).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

import httpx

from whisperlive_hybrid.auth.network import Address, Network, unmap
from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.fetch.urls import host_name

# The IANA special-purpose address registries (RFC 6890), written out: what the standard library
# calls private or global has changed between patch releases of Python.

_SPECIAL_V4: Final = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network; Linux takes 0.0.0.0 for itself
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared by carriers (RFC 6598); metadata at Alibaba
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # public by number, but answered by Azure to its own machines
        "169.254.0.0/16",  # link-local; metadata at nearly every cloud
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; metadata at Oracle
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks of network devices
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)

_UNICAST_V6: Final = IPv6Network("2000::/3")
"""All that is handed out for the internet; fc00::/7, fe80::/10, ff00::/8, ::1 lie outside."""

_SPECIAL_V6: Final = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, which embeds IPv4, ORCHID, benchmarks
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which embeds IPv4; given up in 2015 (RFC 7526)
        "3fff::/20",  # documentation
    )
)

_NAT64: Final = IPv6Network("64:ff9b::/96")
"""IPv4 as machines without IPv4 see it (RFC 6052): the last 32 bits are the address."""


def is_public(address: Address) -> bool:
    """Whether anybody on the internet could reach it as well as we."""
    address = unmap(address)
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_V4)
    if address in _NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    return address in _UNICAST_V6 and not any(address in network for network in _SPECIAL_V6)


@dataclass(frozen=True, slots=True)
class AllowList:
    """What the operator lets clients reach although it is not public."""

    hosts: frozenset[str] = frozenset()
    """Names that are trusted, whatever they resolve to."""
    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, text: str) -> "AllowList":
        """Read names, addresses and networks with commas between; raises `BadRequest`."""
        entries = [entry.strip() for entry in text.split(",") if entry.strip()]
        networks = {entry: network for entry in entries if (network := _network(entry))}
        hosts = (_host(entry) for entry in entries if entry not in networks)
        return cls(frozenset(hosts), tuple(networks.values()))

    def permits(self, host: str, addresses: Iterable[Address]) -> bool:
        """Whether all addresses of the host may be reached; one bad one spoils the host."""
        return host in self.hosts or all(
            is_public(address) or self._lists(unmap(address)) for address in addresses
        )

    def _lists(self, address: Address) -> bool:
        return any(address in network for network in self.networks)


def literal(host: str) -> Address | None:
    """The address that a host is already, in the canonical spelling; None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _network(entry: str) -> Network | None:
    """Also a single address, as the smallest network; never one with a zone."""
    try:
        return None if "%" in entry else ip_network(entry)
    except ValueError:
        return None


def _host(entry: str) -> str:
    """A name; what looks like a mistyped number would never match anything."""
    try:
        name = host_name(httpx.URL(scheme="http", host=entry).raw_host.decode("ascii"))
    except (httpx.InvalidURL, ValueError, BadRequest):
        name = ""
    if not name or ":" in name or name.rpartition(".")[2][0].isdigit():
        raise BadRequest(
            f"WHISPERLIVE_FETCH_ALLOW: {entry!r} is neither a host name, nor an address, nor a "
            "network such as 10.1.0.0/16 (all bits behind the slash's length are 0)."
        )
    return name

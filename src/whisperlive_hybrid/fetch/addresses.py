"""The addresses that clients may reach through URLs: public ones, and those on the allow-list.

Without this check, a client could read what only this server can reach (server-side request
forgery).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

import httpx

from whisperlive_hybrid.auth.network import Address, Network, unmap
from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.fetch.urls import normalise_host

# The IANA special-purpose address registries (RFC 6890), written out: the standard library's
# classes of private and global addresses have changed between patch releases of Python.

_SPECIAL_V4: Final = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network; Linux takes 0.0.0.0 for itself
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared by carriers (RFC 6598); metadata at Alibaba
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # public, but reserved for Azure's own machines
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
"""Global unicast; fc00::/7, fe80::/10, ff00::/8 and ::1 are outside."""

_SPECIAL_V6: Final = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, which embeds IPv4, ORCHID, benchmarks
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which embeds IPv4; deprecated in 2015 (RFC 7526)
        "3fff::/20",  # documentation
    )
)

_NAT64: Final = IPv6Network("64:ff9b::/96")
"""IPv4 addresses for machines without IPv4 (RFC 6052), in the last 32 bits."""


def is_public(address: Address) -> bool:
    """Return whether an address can be reached from anywhere on the internet."""
    address = unmap(address)
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_V4)
    if address in _NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    return address in _UNICAST_V6 and not any(address in network for network in _SPECIAL_V6)


@dataclass(frozen=True, slots=True)
class AllowList:
    """The hosts and networks that the operator allows although they are not public."""

    hosts: frozenset[str] = frozenset()
    """Names that are allowed with any address."""
    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "AllowList":
        """Parse names, addresses and networks, separated by commas; raises `BadRequest`."""
        hosts: set[str] = set()
        networks: dict[str, Network] = {}
        for entry in filter(None, (part.strip() for part in text.split(","))):
            try:
                network = ip_network(entry)
            except ValueError:
                network = None
            if network is not None and "%" not in entry:  # zones are not for clients
                networks[entry] = network
                continue
            try:
                name = normalise_host(httpx.URL(scheme="http", host=entry).raw_host.decode("ascii"))
            except (httpx.InvalidURL, ValueError, BadRequest):
                name = ""
            # A last label that begins with a digit is rather a mistyped number.
            if not name or ":" in name or name.rpartition(".")[2][0].isdigit():
                raise BadRequest(
                    f"WHISPERLIVE_FETCH_ALLOW: {entry!r} is neither a host name, nor an address, "
                    "nor a network such as 10.1.0.0/16 (all bits after the prefix are 0)."
                )
            hosts.add(name)
        return cls(frozenset(hosts), tuple(networks.values()))

    def permits(self, host: str, addresses: Iterable[Address]) -> bool:
        """Return whether a host may be reached, which requires that all its addresses may."""
        return host in self.hosts or all(
            is_public(address) or any(unmap(address) in network for network in self.networks)
            for address in addresses
        )


def parse_literal(host: str) -> Address | None:
    """Return the address of a host that is one in the canonical spelling; None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None

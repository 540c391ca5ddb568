"""Where a request comes from: the peer itself, or what a trusted proxy says about it."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from whisperlive_hybrid.errors import BadRequest

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def plain(address: Address) -> Address:
    """The address that a socket would reach: ::ffff:10.0.0.1 is 10.0.0.1."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


SUBSCRIBER_BITS: Final = 64
"""A customer of an IPv6 network has at least a /64 (RFC 6177), so single addresses bound nobody."""


@dataclass(frozen=True, slots=True)
class Proxies:
    """Those whose X-Forwarded-For is believed."""

    networks: tuple[Network, ...] = ()

    @staticmethod
    def of(written: str) -> "Proxies":
        """Read the setting: addresses and networks, with commas. Raises `BadRequest`."""
        entries = (each.strip() for each in written.split(","))
        return Proxies(tuple(_network(each) for each in entries if each))

    def client(self, peer: str, forwarded: Iterable[str]) -> str:
        """The address of whoever asks; `forwarded` are all X-Forwarded-For headers, in order.

        Every proxy adds at the right whom it was asked by, and what is left of that anybody could
        have written. So the chain is read from the right: as long as one says who is trusted, the
        next one is believed. What cannot be read ends it.
        """
        believed = read_address(peer)
        if believed is None:
            return peer
        chain = [entry for header in forwarded for entry in header.split(",")]
        while chain and self._has(believed):
            before = read_address(chain.pop())
            if before is None:
                break
            believed = before
        return str(believed)

    def trusts(self, peer: str) -> bool:
        """Whether a peer is one of them: behind it there may be many."""
        address = read_address(peer)
        return address is not None and self._has(address)

    def _has(self, address: Address) -> bool:
        return any(address in network for network in self.networks)


def subscriber(address: str) -> str:
    """What counts as one caller: an IPv4 address, or the /64 around an IPv6 address."""
    read = read_address(address)
    if isinstance(read, IPv6Address):
        return str(IPv6Network((int(read), SUBSCRIBER_BITS), strict=False))
    return str(read or address)


def is_loopback(host: str) -> bool:
    """Whether a host, an address or a name, is this machine and nobody else can reach it."""
    address = read_address(host)
    return host.lower() == "localhost" or (address is not None and address.is_loopback)


def _network(written: str) -> Network:
    try:
        return ip_network(written)
    except ValueError as error:
        raise BadRequest(
            f"WHISPERLIVE_TRUSTED_PROXIES: {written!r} is neither an IP address nor a network."
        ) from error


def read_address(written: str) -> Address | None:
    """Read an address, maybe with a port as some proxies write it; None for anything else."""
    text = written.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return plain(ip_address(text))
    except ValueError:
        return None

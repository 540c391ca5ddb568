"""Client addresses: the peer of the connection, or the address that a trusted proxy reports."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from whisperlive_hybrid.errors import BadRequest

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


SUBSCRIBER_BITS: Final = 64
"""A customer of an IPv6 network has at least a /64 (RFC 6177), so a limit per single address would
limit no client."""


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """The proxies whose X-Forwarded-For header is trusted."""

    networks: tuple[Network, ...] = ()

    @staticmethod
    def parse(setting: str) -> "TrustedProxies":
        """Parse WHISPERLIVE_TRUSTED_PROXIES: addresses and networks, separated by commas.

        Raises `BadRequest`.
        """
        networks: list[Network] = []
        for entry in filter(None, map(str.strip, setting.split(","))):
            try:
                networks.append(ip_network(entry))
            except ValueError as error:
                raise BadRequest(
                    f"WHISPERLIVE_TRUSTED_PROXIES: {entry!r} is neither an IP address nor a "
                    "network."
                ) from error
        return TrustedProxies(tuple(networks))

    def client_address(self, peer: str, forwarded: Iterable[str]) -> str:
        """Return the address of the client; `forwarded` are all X-Forwarded-For headers, in order.

        Every proxy appends the address of its own peer at the right; everything further left may
        be forged by the client. So the chain is read from the right: as long as an address is that
        of a trusted proxy, the next one is trusted. An invalid entry ends the chain.
        """
        address = parse_address(peer)
        # A Unix socket has no address.
        if address is None:
            return peer
        chain = [entry for header in forwarded for entry in header.split(",")]
        while chain and self._contains(address):
            previous = parse_address(chain.pop())
            if previous is None:
                break
            address = previous
        return str(address)

    def trusts(self, peer: str) -> bool:
        """Return True if `peer` is a trusted proxy, which may serve many clients."""
        address = parse_address(peer)
        return address is not None and self._contains(address)

    def _contains(self, address: Address) -> bool:
        return any(address in network for network in self.networks)


def subscriber(address: str) -> str:
    """Return the network that counts as one client: an IPv4 address, or the /64 around an IPv6."""
    parsed = parse_address(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((int(parsed), SUBSCRIBER_BITS), strict=False))
    return str(parsed or address)


def is_loopback(host: str) -> bool:
    """Return True if `host`, an address or a name, can be reached from this machine only."""
    address = parse_address(host)
    return host.lower() == "localhost" or (address is not None and address.is_loopback)


def parse_address(text: str) -> Address | None:
    """Parse an IP address, with or without a port, as proxies write both; None if it is invalid."""
    text = text.strip()
    if text.startswith("["):
        # "[2001:db8::1]:443"
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        # "192.0.2.1:443"; an IPv6 address has more colons.
        text = text.partition(":")[0]
    try:
        return unmap(ip_address(text))
    except ValueError:
        return None


def unmap(address: Address) -> Address:
    """Return the IPv4 address of an IPv4-mapped one (::ffff:10.0.0.1), else `address` itself."""
    # A dual-stack socket reports its IPv4 peers in this form.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address

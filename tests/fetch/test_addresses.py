from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperlive_hybrid.auth.network import unmap
from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.fetch.addresses import AllowList, is_public

INTERNAL_V4 = [
    "0.0.0.0",  # noqa: S104 (nothing listens here)
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.7",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
]

INTERNAL_V6 = [
    "::",
    "::1",
    "::7f00:1",
    "64:ff9b:1::a00:1",
    "100::1",
    "2001::1",
    "2001:2::1",
    "2001:10::1",
    "2001:db8::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.1",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2a00:1450:4001:80b::200e",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
]


def embeddings(address: IPv4Address) -> list[IPv6Address]:
    """Every IPv6 address that leads to an IPv4 one: mapped, compatible, NAT64, 6to4, Teredo."""
    number = int(address)
    return [
        IPv6Address(f"::ffff:{address}"),
        IPv6Address(number),
        IPv6Address(int(IPv6Address("64:ff9b::")) | number),
        IPv6Address(int(IPv6Address("64:ff9b:1::")) | number),
        IPv6Address(int(IPv6Address("2002::")) | number << 80),
        IPv6Address(int(IPv6Address("2001::")) | number ^ 0xFFFF_FFFF),
    ]


@pytest.mark.parametrize("internal", INTERNAL_V4 + INTERNAL_V6)
def test_internal_addresses_are_not_public(internal: str) -> None:
    """Loopback, private, link-local, carriers' own, multicast, reserved, clouds' metadata."""
    assert not is_public(ip_address(internal))


@pytest.mark.parametrize("internal", INTERNAL_V4)
def test_ipv6_hides_no_internal_address(internal: str) -> None:
    """An address inside another is judged too."""
    for embedding in embeddings(IPv4Address(internal)):
        assert not is_public(embedding), embedding


@pytest.mark.parametrize("public", PUBLIC)
def test_the_rest_of_the_internet_is_public(public: str) -> None:
    """Right up to the edges of the internal networks, and through NAT64."""
    assert is_public(ip_address(public))


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6))
def test_the_standard_library_agrees_with_what_is_let_through(
    address: IPv4Address | IPv6Address,
) -> None:
    """Our table may be stricter than Python's, never looser."""
    if is_public(address):
        assert unmap(address).is_global
        assert not unmap(address).is_multicast


@given(st.ip_addresses(v=4))
def test_an_embedding_is_never_more_public_than_what_it_embeds(address: IPv4Address) -> None:
    """For every IPv4 address and every way to write it as IPv6."""
    if not is_public(address):
        assert not any(map(is_public, embeddings(address)))


def permits(allowed: str, host: str, *addresses: str) -> bool:
    """Ask an allow-list in texts."""
    return AllowList.parse(allowed).permits(host, map(ip_address, addresses))


def test_nothing_internal_is_reached_unless_it_is_listed() -> None:
    """The list is empty by default."""
    assert not permits("", "media.intra", "10.1.2.3")
    assert permits("", "media.example", "8.8.8.8")


@pytest.mark.parametrize(
    "listed",
    [
        "10.1.0.0/16",
        "10.1.2.3",
        "media.intra",
        "MEDIA.intra.",
        " x.intra , 10.1.2.0/24,",
        "fd00::/8",
    ],
)
def test_names_addresses_and_networks_can_be_listed(listed: str) -> None:
    """In any mixture; a name is allowed with any address."""
    host, address = "media.intra", "fd00::1" if ":" in listed else "10.1.2.3"
    assert permits(listed, host, address)
    assert not permits(listed, "other.intra", "10.2.0.1")
    assert not permits(listed, "other.intra", "fe80::1")


def test_an_international_name_is_listed_as_it_is_written() -> None:
    """It meets the spelling that URLs have inside."""
    assert permits("bücher.intra", "xn--bcher-kva.intra", "10.0.0.1")


def test_a_listed_address_holds_in_its_mapped_spelling() -> None:
    """::ffff:10.1.2.3 is the same machine."""
    assert permits("10.1.2.3", "x", "::ffff:10.1.2.3")


def test_one_internal_address_spoils_a_host() -> None:
    """Otherwise the second of two addresses could be anywhere."""
    assert not permits("", "media.example", "8.8.8.8", "10.0.0.1")
    assert not permits("127.0.0.1", "localhost", "127.0.0.1", "::1")


@pytest.mark.parametrize(
    "typo",
    [
        "10.1.0.0/33",
        "10.1.2.3/16",
        "10.1",
        "300.1.1.1",
        "*.intra",
        "http://media.intra",
        "media.intra:8080",
        "media.intra/x",
        "[::1]",
        "::1%eth0",
        "user@media.intra",
        "a b",
    ],
)
def test_a_mistyped_entry_is_one_clear_error(typo: str) -> None:
    """It names the entry, rather than silently never matching."""
    with pytest.raises(BadRequest) as refusal:
        AllowList.parse(f"10.0.0.0/8, {typo}")
    assert repr(typo) in refusal.value.message

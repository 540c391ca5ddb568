"""Addresses of clients behind proxies, and the networks that count as one client."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperlive_hybrid.auth.network import TrustedProxies, subscriber
from whisperlive_hybrid.errors import BadRequest

TRUSTED = TrustedProxies.parse("10.0.0.0/8, 192.0.2.1, 2001:db8:1::/48")


def test_without_trusted_proxies_the_header_is_ignored() -> None:
    """Otherwise a client could forge any address, and have no limits."""
    assert (
        TrustedProxies.parse("").client_address("198.51.100.7", ["203.0.113.9"]) == "198.51.100.7"
    )
    assert TrustedProxies.parse(" , ").client_address("127.0.0.1", ["203.0.113.9"]) == "127.0.0.1"


def test_the_header_of_another_peer_is_ignored() -> None:
    """Only the header of a trusted proxy is read."""
    assert TRUSTED.client_address("198.51.100.7", ["203.0.113.9"]) == "198.51.100.7"


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        (["203.0.113.9"], "203.0.113.9"),
        (["203.0.113.9, 10.1.2.3"], "203.0.113.9"),  # through two proxies
        (["203.0.113.9", "10.1.2.3, 192.0.2.1"], "203.0.113.9"),  # several headers are one
        (["1.1.1.1, 203.0.113.9"], "203.0.113.9"),  # the client had written the first itself
        (["10.9.9.9"], "10.9.9.9"),  # somebody inside asks
        ([], "10.0.0.1"),
        ([""], "10.0.0.1"),
        (["203.0.113.9, unknown"], "10.0.0.1"),  # nothing left of what cannot be read is believed
        (["203.0.113.9:4711"], "203.0.113.9"),  # as Azure writes it
        (["[2001:db8:2::5]:4711"], "2001:db8:2::5"),
        (["2001:db8:2::5, 2001:db8:1::9"], "2001:db8:2::5"),
        (["::ffff:203.0.113.9"], "203.0.113.9"),
    ],
)
def test_the_chain_is_read_from_the_right(forwarded: list[str], client: str) -> None:
    """Trusted proxies are skipped; the first other address is the client."""
    assert TRUSTED.client_address("10.0.0.1", forwarded) == client


def test_an_ipv4_mapped_peer_is_recognised() -> None:
    """A dual-stack socket reports IPv4 peers as IPv6."""
    assert TRUSTED.client_address("::ffff:10.0.0.1", ["203.0.113.9"]) == "203.0.113.9"
    assert TrustedProxies().client_address("::ffff:203.0.113.9", []) == "203.0.113.9"


def test_a_proxy_is_known_by_its_address() -> None:
    """Connections are limited by address, except those of a proxy, which serves many clients."""
    assert TRUSTED.trusts("10.0.0.1")
    assert TRUSTED.trusts("::ffff:10.0.0.1")
    assert not TRUSTED.trusts("198.51.100.7")
    assert not TRUSTED.trusts("")


def test_a_peer_without_an_address_stays_as_it_is() -> None:
    """As for a Unix socket, or a socket that is closed already."""
    assert TRUSTED.client_address("", ["203.0.113.9"]) == ""


@given(st.lists(st.text()))
def test_no_header_breaks_it(forwarded: list[str]) -> None:
    """Entries left of the proxy's are ignored, whatever they contain."""
    assert TRUSTED.client_address("10.0.0.1", [*forwarded, "203.0.113.9"]) == "203.0.113.9"
    assert TRUSTED.client_address("10.0.0.1", forwarded) is not None


@pytest.mark.parametrize("written", ["proxy.example", "10.0.0.0/33", "10.0.0.1/8", "*"])
def test_a_list_that_makes_no_sense_ends_the_start(written: str) -> None:
    """A misspelt network would silently trust no proxy, or the wrong ones."""
    with pytest.raises(BadRequest, match="WHISPERLIVE_TRUSTED_PROXIES"):
        TrustedProxies.parse(written)


def test_a_subscriber_of_ipv6_is_its_network() -> None:
    """One customer has 2**64 addresses."""
    assert subscriber("2001:db8:2:3:4:5:6:7") == subscriber("2001:db8:2:3::1")
    assert subscriber("2001:db8:2:3::1") != subscriber("2001:db8:2:4::1")
    assert subscriber("fe80::1%eth0") == "fe80::/64"


def test_a_subscriber_of_ipv4_is_its_address() -> None:
    """Neighbouring IPv4 addresses belong to other customers."""
    assert subscriber("192.0.2.1") == "192.0.2.1"
    assert subscriber("::ffff:192.0.2.1") == "192.0.2.1"
    assert subscriber("") == ""

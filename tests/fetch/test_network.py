import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import anyio
import httpcore
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperlive_hybrid.errors import BadRequest, RemoteFailed
from whisperlive_hybrid.fetch.addresses import AllowList
from whisperlive_hybrid.fetch.network import MOST_ADDRESSES, CheckedNetwork, resolve

pytestmark = pytest.mark.anyio

PUBLIC = "93.184.216.34"
PUBLIC_V6 = "2606:2800:220:1::1"


@dataclass(slots=True)
class Names:
    """A resolver that gives one answer after another."""

    answers: list[Sequence[str] | OSError]
    asked: list[str] = field(default_factory=list)

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """The next answer."""
        del port
        self.asked.append(host)
        answer = self.answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer


class Stream(httpcore.AsyncMockStream):
    """A connection whose TLS handshake never ends."""

    def __init__(self) -> None:
        super().__init__([])
        self.handshake = anyio.Event()
        self.is_closed = False

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 (httpcore's signature)
    ) -> httpcore.AsyncNetworkStream:
        """Begin, and hang."""
        del ssl_context, server_hostname, timeout
        self.handshake.set()
        await anyio.sleep_forever()
        raise AssertionError

    async def aclose(self) -> None:
        """Remember it."""
        self.is_closed = True


@dataclass(slots=True)
class Wire(httpcore.AsyncNetworkBackend):
    """Connects nowhere; remembers where it should have."""

    failures: dict[str, Exception] = field(default_factory=dict)
    stream: httpcore.AsyncNetworkStream = field(
        default_factory=lambda: httpcore.AsyncMockStream(
            [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"]
        )
    )
    tried: list[tuple[str, float | None]] = field(default_factory=list)
    """The addresses with their timeouts."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 (httpcore's signature)
        local_address: str | None = None,
        socket_options: Iterable[object] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Give the stream, or fail as this address does."""
        del port, local_address, socket_options
        self.tried.append((host, timeout))
        if host in self.failures:
            raise self.failures[host]
        return self.stream


def network(names: Names, wire: Wire, allowed: str = "") -> CheckedNetwork:
    """The network under test."""
    return CheckedNetwork(AllowList.parse(allowed), names, wire)


def caused(error: Exception, cause: Exception) -> Exception:
    """An error as httpcore raises it."""
    error.__cause__ = cause
    return error


async def test_a_name_is_resolved_once_and_its_checked_address_connected_to() -> None:
    """A name server that turns to an internal address after the check (DNS rebinding) is too late.

    The request goes through httpcore's pool, so this also holds for all that the pool does.
    """
    names, wire = Names([[PUBLIC], ["127.0.0.1"]]), Wire()
    async with httpcore.AsyncConnectionPool(network_backend=network(names, wire)) as pool:
        reply = await pool.request("GET", "http://media.example/")
    assert reply.content == b"hi"
    assert names.asked == ["media.example"]
    assert wire.tried == [(PUBLIC, None)]


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["169.254.169.254"],
        ["::ffff:10.0.0.1"],
        ["fe80::1%eth0"],
        [PUBLIC, "10.0.0.1"],
        [PUBLIC, PUBLIC_V6, PUBLIC, PUBLIC, PUBLIC, "::1"],
    ],
)
async def test_a_host_with_an_internal_address_is_not_connected_to(addresses: list[str]) -> None:
    """Not even at its public addresses; the message does not contain the addresses."""
    wire = Wire()
    with pytest.raises(BadRequest, match=r"media\.example may not be reached") as refusal:
        await network(Names([addresses]), wire).connect_tcp("media.example", 80)
    assert (refusal.value.param, refusal.value.code) == ("url", "url_not_allowed")
    assert not isinstance(refusal.value, RemoteFailed)
    assert not any(address in refusal.value.message for address in addresses)
    assert wire.tried == []


@pytest.mark.parametrize(
    "spelling",
    [
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "127.0.1",
        "0",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:7f00:1",
        "2852039166",
        "0xa9fea9fe",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "fd00:ec2::254",
    ],
)
async def test_no_spelling_of_an_internal_address_gets_through(spelling: str) -> None:
    """The address that the system's resolver makes of a number is checked; nothing is connected."""
    wire = Wire()
    checked = CheckedNetwork(AllowList(), resolve, wire)
    with pytest.raises(BadRequest):
        await checked.connect_tcp(spelling, 80)
    assert wire.tried == []


@given(number=st.integers(0, 2**32 - 1))
def test_numbers_mean_the_same_to_the_check_and_to_the_socket(number: int) -> None:
    """A host that is a number resolves to the address that it counts."""

    async def resolved() -> Sequence[str]:
        return await resolve(str(number), 80)

    dotted = ".".join(str(byte) for byte in number.to_bytes(4, "big"))
    assert set(anyio.run(resolved)) == {dotted}


async def test_listed_hosts_are_reached() -> None:
    """By the name and by the network."""
    for allowed in ("media.intra", "10.0.0.0/8"):
        wire = Wire()
        await network(Names([["10.0.0.1"]]), wire, allowed).connect_tcp("media.intra", 80)
        assert wire.tried == [("10.0.0.1", None)]


async def test_a_mapped_address_is_connected_to_as_what_it_is() -> None:
    """The address that was judged is IPv4, so it is reached without IPv6."""
    wire = Wire()
    await network(Names([[f"::ffff:{PUBLIC}", PUBLIC]]), wire).connect_tcp("media.example", 80)
    assert wire.tried == [(PUBLIC, None)]


async def test_addresses_are_tried_one_after_another() -> None:
    """Every one once, with its share of the time, up to a limit."""
    addresses = [f"8.8.8.{n}" for n in range(9)]
    wire = Wire({a: httpcore.ConnectTimeout() for a in addresses[: MOST_ADDRESSES - 1]})
    doubled = [a for a in addresses for _ in "12"]
    await network(Names([doubled]), wire).connect_tcp("media.example", 80, timeout=8)
    assert wire.tried == [(a, 8 / MOST_ADDRESSES) for a in addresses[:MOST_ADDRESSES]]


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (caused(httpcore.ConnectError(), ConnectionRefusedError()), "refused the connection"),
        (caused(httpcore.ConnectError(), OSError("no route")), "cannot be reached"),
        (httpcore.ConnectTimeout(), "did not accept a connection in time"),
    ],
)
async def test_a_failed_connection_says_how(failure: Exception, expected: str) -> None:
    """The last address that failed gives the reason, under the host's name."""
    wire = Wire({PUBLIC: httpcore.ConnectError(), PUBLIC_V6: failure})
    names = Names([[PUBLIC, PUBLIC_V6]])
    with pytest.raises(RemoteFailed, match=rf"media\.example {expected}") as refusal:
        await network(names, wire).connect_tcp("media.example", 80)
    assert (refusal.value.param, refusal.value.code) == ("url", "url_fetch_failed")
    assert len(wire.tried) == 2


@pytest.mark.parametrize("answer", [OSError("unknown"), []])
async def test_a_name_without_an_address_is_reported(answer: Sequence[str] | OSError) -> None:
    """It may be a name server's bad moment, so the same URL may work later."""
    with pytest.raises(RemoteFailed, match=r"media\.example does not resolve"):
        await network(Names([answer]), Wire()).connect_tcp("media.example", 80)


async def test_a_silent_name_server_runs_into_the_time_out() -> None:
    """Resolving counts as connecting."""

    async def never(host: str, port: int) -> Sequence[str]:
        del host, port
        await anyio.sleep_forever()
        return []

    checked = CheckedNetwork(AllowList(), never, Wire())
    with pytest.raises(RemoteFailed, match="did not accept a connection in time"):
        await checked.connect_tcp("media.example", 80, timeout=0.01)


async def test_a_cancelled_tls_handshake_closes_the_connection() -> None:
    """A client that hangs up in the middle leaves no socket behind."""
    stream = Stream()
    wire = Wire(stream=stream)
    connection = await network(Names([[PUBLIC]]), wire).connect_tcp("media.example", 443)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(connection.start_tls, ssl.create_default_context())
        await stream.handshake.wait()
        tasks.cancel_scope.cancel()
    assert stream.is_closed

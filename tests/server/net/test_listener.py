import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

import anyio
import pytest

from whisperlive_hybrid.server.net import listener as listening
from whisperlive_hybrid.server.net.listener import (
    TOO_MANY,
    TOO_MANY_OF_ADDRESS,
    ConnectionLimiter,
    listen,
)


def test_an_address_has_its_share() -> None:
    """One too many of an address is refused until one is closed; other addresses are not."""
    limiter = ConnectionLimiter(per_address=2, total=100)
    limiter.add("10.0.0.1")
    limiter.add("10.0.0.1")
    assert limiter.refusal("10.0.0.1") == TOO_MANY_OF_ADDRESS
    assert limiter.refusal("10.0.0.2") is None
    limiter.remove("10.0.0.1")
    assert limiter.refusal("10.0.0.1") is None


def test_all_together_have_a_bound() -> None:
    """The total holds for all addresses, also for exempt ones."""
    limiter = ConnectionLimiter(per_address=100, total=2, is_exempt=lambda _: True)
    for n in range(2):
        assert limiter.refusal(f"10.0.0.{n}") is None
        limiter.add(f"10.0.0.{n}")
    assert limiter.refusal("10.0.0.9") == TOO_MANY
    assert limiter.n_open == 2


def test_a_proxy_has_no_share() -> None:
    """The connections of a trusted proxy belong to many clients."""
    limiter = ConnectionLimiter(
        per_address=1, total=100, is_exempt=lambda address: address == "10.0.0.1"
    )
    for _ in range(5):
        limiter.add("10.0.0.1")
    assert limiter.refusal("10.0.0.1") is None


def test_addresses_are_forgotten() -> None:
    """A closed connection leaves nothing in memory, whatever the number of addresses."""
    limiter = ConnectionLimiter(per_address=2, total=100)
    for n in range(1000):
        address = f"10.0.{n // 250}.{n % 250}"
        assert limiter.refusal(address) is None
        limiter.add(address)
        limiter.remove(address)
    limiter.refusal("192.0.2.1")
    assert (limiter.n_open, limiter.n_addresses) == (0, 0)


def test_refusals_do_not_flood_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    """The first is logged at once, those of the next minute with the first one after it."""
    now = 0.0
    limiter = ConnectionLimiter(1, 1, clock=lambda: now)
    for _ in range(100):
        limiter.record_refusal("10.0.0.1")
    now = listening._LOG_INTERVAL_S
    limiter.record_refusal("10.0.0.1")
    logged = capsys.readouterr().out
    assert logged.count("connections refused") == 2
    assert "so_far=101" in logged


class RecordingProtocol(asyncio.Protocol):
    """Records the accepted connections."""

    def __init__(self, made: list[asyncio.Transport]) -> None:
        self._made = made

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # of a socket
        """Record the connection."""
        self._made.append(transport)


@pytest.mark.anyio
async def test_connections_over_real_sockets() -> None:
    """One too many gets a response but no protocol, and is accepted when there is room."""
    made: list[asyncio.Transport] = []
    loop = asyncio.get_running_loop()
    limiter = ConnectionLimiter(per_address=2, total=100)
    server = await loop.create_server(
        lambda: RecordingProtocol(made), sock=listen("127.0.0.1", 0, limiter)
    )
    port = server.sockets[0].getsockname()[1]
    async with server, AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(await anyio.connect_tcp("127.0.0.1", port))
        await until(lambda: limiter.n_open == 2)
        for _ in range(3):
            async with await anyio.connect_tcp("127.0.0.1", port) as refused:
                assert (await refused.receive()).startswith(b"HTTP/1.1 429 ")
                with pytest.raises(anyio.EndOfStream):
                    await refused.receive()
        assert (len(made), limiter.n_open, limiter.n_refused) == (2, 2, 3)
        made[0].abort()
        await until(lambda: limiter.n_open == 1)
        await stack.enter_async_context(await anyio.connect_tcp("127.0.0.1", port))
        await until(lambda: len(made) == 3)
        for transport in made:
            transport.close()
        await until(lambda: limiter.n_open == 0)


async def until(is_so: Callable[[], bool]) -> None:
    """Run the event loop until a condition is true."""
    with anyio.fail_after(10):
        while not is_so():  # noqa: ASYNC110 (what it waits for has no event)
            await anyio.sleep(0.001)

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
    """One more than it may have is refused, until one of its own is closed; others are not."""
    census = ConnectionLimiter(per_address=2, altogether=100)
    census.enter("10.0.0.1")
    census.enter("10.0.0.1")
    assert census.refusal("10.0.0.1") == TOO_MANY_OF_ADDRESS
    assert census.refusal("10.0.0.2") is None
    census.leave("10.0.0.1")
    assert census.refusal("10.0.0.1") is None


def test_all_together_have_a_bound() -> None:
    """It holds for everybody, whatever an address may have, and for those who are exempt."""
    census = ConnectionLimiter(per_address=100, altogether=2, is_exempt=lambda _: True)
    for n in range(2):
        assert census.refusal(f"10.0.0.{n}") is None
        census.enter(f"10.0.0.{n}")
    assert census.refusal("10.0.0.9") == TOO_MANY
    assert census.n_open == 2


def test_a_proxy_has_no_share() -> None:
    """Behind a trusted proxy there are many, each of whom is none of its own connections."""
    census = ConnectionLimiter(
        per_address=1, altogether=100, is_exempt=lambda address: address == "10.0.0.1"
    )
    for _ in range(5):
        census.enter("10.0.0.1")
    assert census.refusal("10.0.0.1") is None


def test_addresses_are_forgotten() -> None:
    """Whoever has gone leaves nothing behind, or a year of visitors would fill the memory."""
    census = ConnectionLimiter(per_address=2, altogether=100)
    for n in range(1000):
        address = f"10.0.{n // 250}.{n % 250}"
        assert census.refusal(address) is None
        census.enter(address)
        census.leave(address)
    census.refusal("192.0.2.1")
    assert (census.n_open, census.n_addresses) == (0, 0)


def test_refusals_do_not_flood_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    """The first is told at once, those of the next minute with the first one after it."""
    now = 0.0
    census = ConnectionLimiter(1, 1, clock=lambda: now)
    for _ in range(100):
        census.refused("10.0.0.1")
    now = listening._TOLD_EVERY_S
    census.refused("10.0.0.1")
    told = capsys.readouterr().out
    assert told.count("connections refused") == 2
    assert "so_far=101" in told


class Door(asyncio.Protocol):
    """Notes who was let in."""

    def __init__(self, made: list[asyncio.Transport]) -> None:
        self._made = made

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # of a socket
        """Somebody was."""
        self._made.append(transport)


@pytest.mark.anyio
async def test_connections_over_real_sockets() -> None:
    """Whoever is too many reads why, costs no protocol, and is let in when there is room."""
    made: list[asyncio.Transport] = []
    loop = asyncio.get_running_loop()
    census = ConnectionLimiter(per_address=2, altogether=100)
    server = await loop.create_server(lambda: Door(made), sock=listen("127.0.0.1", 0, census))
    port = server.sockets[0].getsockname()[1]
    async with server, AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(await anyio.connect_tcp("127.0.0.1", port))
        await until(lambda: census.n_open == 2)
        for _ in range(3):
            async with await anyio.connect_tcp("127.0.0.1", port) as refused:
                assert (await refused.receive()).startswith(b"HTTP/1.1 429 ")
                with pytest.raises(anyio.EndOfStream):
                    await refused.receive()
        assert (len(made), census.n_open, census.n_refused) == (2, 2, 3)
        made[0].abort()
        await until(lambda: census.n_open == 1)
        await stack.enter_async_context(await anyio.connect_tcp("127.0.0.1", port))
        await until(lambda: len(made) == 3)
        for transport in made:
            transport.close()
        await until(lambda: census.n_open == 0)


async def until(is_so: Callable[[], bool]) -> None:
    """Let the loop turn until something is so."""
    with anyio.fail_after(10):
        while not is_so():  # noqa: ASYNC110 (what it waits for has no event)
            await anyio.sleep(0.001)

"""Web pages at the live door: forged Origin and Host headers over real sockets."""

import anyio
import pytest
from live_clients import open_live_server
from structlog.testing import capture_logs
from websockets.typing import Origin

from whisperlive_hybrid.errors import BadRequest

pytestmark = pytest.mark.anyio

UPGRADE = (
    "GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)
EXTENSION = "moz-extension://2b0f6c6e-0a4e-4b3f-9d0c-6d4f1c8f7a11"


async def answer(port: int, *headers: str) -> str:
    """What a browser reads that sends these headers with its upgrade, up to the end of the head."""
    request = "".join([UPGRADE, *(f"{header}\r\n" for header in headers), "\r\n"])
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(request.encode())
        received = b""
        while b"\r\n\r\n" not in received:
            received += await stream.receive()
    return received.decode()


async def test_a_foreign_page_gets_403_and_the_operator_a_line() -> None:
    """In place of the upgrade; a browser shows its page nothing, so the log says why."""
    async with open_live_server() as door:
        with capture_logs() as logs:
            refused = await answer(
                door.port, f"Host: localhost:{door.port}", "Origin: https://evil.example"
            )
        assert refused.startswith("HTTP/1.1 403 Forbidden\r\n")
        assert "WHISPERLIVE_ALLOWED_ORIGINS" in refused
        assert [each["event"] for each in logs] == ["page refused"]
        assert "https://evil.example" in logs[0]["reason"]
        await door.wait_until_disconnected()
        assert door.live.n_clients == 0


@pytest.mark.parametrize("origin", [EXTENSION, "http://localhost:3000"])
async def test_an_extension_and_a_page_beside_us_get_in(origin: str) -> None:
    """Also where only this machine is served."""
    async with open_live_server() as door:
        admitted = await answer(door.port, f"Host: localhost:{door.port}", f"Origin: {origin}")
        assert admitted.startswith("HTTP/1.1 101 Switching Protocols\r\n")


async def test_an_extension_is_served() -> None:
    """Not only let in."""
    async with open_live_server() as door, door.client(origin=Origin(EXTENSION)) as client:
        await client.greet()
        assert (await client.next())["message"] == "SERVER_READY"


async def test_a_name_that_points_at_us_is_none_of_ours() -> None:
    """The page of a rebound name is of the same origin as the socket that it opens."""
    async with open_live_server() as door:
        host = f"evil.example:{door.port}"
        refused = await answer(door.port, f"Host: {host}", f"Origin: http://{host}")
        assert refused.startswith("HTTP/1.1 403 Forbidden\r\n")
        assert "WHISPERLIVE_ALLOWED_HOSTS" in refused
    async with open_live_server(allowed_hosts="captions.example.com") as door:
        host = f"captions.example.com:{door.port}"
        assert (await answer(door.port, f"Host: {host}")).startswith("HTTP/1.1 101 ")


async def test_headers_that_come_twice_are_refused() -> None:
    """Which of them a browser meant nobody knows."""
    async with open_live_server(host="0.0.0.0") as door:  # noqa: S104 (known by any name)
        host = f"Host: 127.0.0.1:{door.port}"
        for twice in (f"Origin: {EXTENSION}", host):
            given = [host, f"Origin: http://127.0.0.1:{door.port}", twice]
            assert (await answer(door.port, *given)).startswith("HTTP/1.1 403 ")


async def test_the_origin_of_nobody_depends_on_the_bind() -> None:
    """A server that others reach takes files in a browser; one for this machine wants it said."""
    for host, listed, status in (
        ("0.0.0.0", "", 101),  # noqa: S104 (what is tested)
        ("127.0.0.1", "", 403),
        ("127.0.0.1", "null", 101),
    ):
        async with open_live_server(host=host, allowed_origins=listed) as door:
            got = await answer(door.port, f"Host: localhost:{door.port}", "Origin: null")
            assert got.startswith(f"HTTP/1.1 {status} ")


async def test_a_list_that_makes_no_sense_ends_the_start() -> None:
    """Its operator would wait for ever for the page to work."""
    with pytest.raises(BadRequest, match=r"'friend\.example' is not an origin"):
        async with open_live_server(allowed_origins="friend.example"):
            pass

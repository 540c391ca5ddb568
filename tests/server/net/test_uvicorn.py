"""Peers that say nothing, say it slowly, or read nothing, over real sockets."""

import itertools
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio
import anyio.abc
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect
from websockets.frames import Frame, Opcode

from whisperlive_hybrid.server.net import uvicorn as protocols
from whisperlive_hybrid.server.net.uvicorn import MAX_HEAD_BYTES, ConnectionTimeouts, HttpConfig

pytestmark = pytest.mark.anyio

PATIENCE_S = 20.0
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LARGE = 2**24
"""Bytes: more than the kernel takes."""


async def _hello(_: Request) -> Response:
    return PlainTextResponse("hello")


async def _large(_: Request) -> Response:
    return Response(bytes(LARGE))


async def _echo(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


async def _shout(socket: WebSocket) -> None:
    await socket.accept()
    while True:
        await socket.send_bytes(bytes(2**16))


async def _listen(socket: WebSocket) -> None:
    await socket.accept()
    await socket.receive()


def application() -> Starlette:
    """Some routes."""
    return Starlette(
        routes=[
            Route("/", _hello, methods=["GET", "POST"]),
            Route("/large", _large),
            Route("/echo", _echo, methods=["POST"]),
            WebSocketRoute("/shout", _shout),
            WebSocketRoute("/listen", _listen),
        ]
    )


class HttpServer:
    """A server of this loop."""

    def __init__(self, server: uvicorn.Server, port: int) -> None:
        self._server = server
        self.port = port

    @property
    def n_connections(self) -> int:
        """Those that are open."""
        return len(self._server.server_state.connections)

    @asynccontextmanager
    async def peer(self) -> AsyncIterator[anyio.abc.SocketStream]:
        """Connect."""
        async with await anyio.connect_tcp("127.0.0.1", self.port) as stream:
            yield stream

    async def is_deserted(self) -> None:
        """Wait until every connection has ended."""
        with anyio.fail_after(PATIENCE_S):
            state = self._server.server_state
            while state.connections or state.tasks:  # noqa: ASYNC110 (they have no event)
                await anyio.sleep(0.01)


@asynccontextmanager
async def open_server(
    head_s: float = 10, min_bytes_per_s: float = 1024
) -> AsyncIterator[HttpServer]:
    """Serve on a free port."""
    config = HttpConfig(application(), ConnectionTimeouts(head_s, min_bytes_per_s), drain_s=1)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [listener])
            yield HttpServer(server, listener.getsockname()[1])
            server.should_exit = True


async def everything(stream: anyio.abc.SocketStream) -> bytes:
    """All bytes until the server closes."""
    received = b""
    with anyio.fail_after(PATIENCE_S), suppress(anyio.EndOfStream, anyio.BrokenResourceError):
        while True:
            received += await stream.receive()
    return received


async def test_a_peer_that_says_nothing_is_let_go() -> None:
    """From the first second on there is a deadline, without which uvicorn would wait for ever."""
    async with open_server(head_s=0.1) as server, server.peer() as silent:
        assert await everything(silent) == b""
        await server.is_deserted()


async def test_a_head_that_trickles_is_let_go() -> None:
    """A byte now and then does not move the deadline."""
    async with open_server(head_s=0.2) as server, server.peer() as slow:
        with suppress(anyio.BrokenResourceError):
            for byte in itertools.cycle(b"GET /aaaaaaaaaaaaaaa"):
                await slow.send(bytes([byte]))
                await anyio.sleep(0.01)
                if not server.n_connections:
                    break
        await server.is_deserted()


async def test_the_next_request_has_a_deadline_of_its_own() -> None:
    """It begins with its first byte; until then the connection is kept for it."""
    async with open_server(head_s=0.2) as server, server.peer() as client:
        for _ in range(3):
            await client.send(GET)
            assert (await client.receive()).endswith(b"hello")
            await anyio.sleep(0.1)  # together longer than a head may take
        await client.send(GET[:10])
        assert await everything(client) == b""


async def test_a_body_that_nobody_wants_is_not_read_for_ever() -> None:
    """A request that has its answer may send the rest for a while, not as long as it likes."""
    async with open_server(head_s=0.2) as server, server.peer() as client:
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        assert (await client.receive()).endswith(b"hello")
        with suppress(anyio.BrokenResourceError):
            while server.n_connections:
                await client.send(b"x")
                await anyio.sleep(0.01)
        await server.is_deserted()


async def test_a_slow_body_is_not_hurried_here() -> None:
    """While a route reads, the pace of bodies counts, not that of heads."""
    async with open_server(head_s=0.05) as server, server.peer() as client:
        await client.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n")
        for _ in range(3):
            await anyio.sleep(0.05)
            await client.send(b"x")
        assert (await client.receive()).endswith(b"3")


@pytest.mark.parametrize(("step", "size"), [(100, MAX_HEAD_BYTES + 1), (10**6, 60_000)])
async def test_a_head_has_a_size(step: int, size: int) -> None:
    """A long one gets 400, whether it comes in drops or at once; a cookie of 8 kB is none."""
    fine = GET[:-2] + b"Cookie: " + b"c" * 8000 + b"\r\n\r\n"
    long = (GET[:-2] + b"a: b\r\n" * size)[:size]
    async with open_server() as server:
        for head, status in ((fine, b"200"), (long, b"400")):
            async with server.peer() as client:
                for first in range(0, len(head), step):
                    await client.send(head[first : first + step])
                assert (await client.receive()).split(b" ")[1] == status


async def test_a_damaged_chunk_after_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    """It ends the connection, without a stack in the log."""
    async with open_server() as server, server.peer() as client:
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert (await client.receive()).endswith(b"hello")
        await client.send(b"no length\r\n")
        assert await everything(client) == b""
        await server.is_deserted()
    assert not [record for record in caplog.records if record.exc_info]


CHUNKED = b"Transfer-Encoding: chunked\r\n"
SMUGGLED = b"5\r\nhallo\r\n0\r\n\r\n" + GET


@pytest.mark.parametrize(
    "lengths",
    [
        b"Content-Length: 15\r\n" + CHUNKED,
        CHUNKED + b"Content-Length: 15\r\n",
        b"content-length: 41\r\nTRANSFER-ENCODING: Chunked\r\n",  # 41 takes the next one in
        b"Content-Length: 0\r\nConnection: keep-alive\r\n" + CHUNKED,
    ],
    ids=["length first", "length last", "one body of two requests", "no length"],
)
@pytest.mark.parametrize("at_once", [True, False])
async def test_a_request_with_two_lengths_is_the_last(lengths: bytes, *, at_once: bool) -> None:
    """RFC 9112, 6.1: a proxy may see its end elsewhere, so what follows is never answered."""
    head = b"POST /echo HTTP/1.1\r\nHost: x\r\n" + lengths + b"\r\n"
    async with open_server() as server, server.peer() as client:
        for part in (head + SMUGGLED,) if at_once else (head, SMUGGLED):
            with suppress(anyio.BrokenResourceError):
                await client.send(part)
        reply = await everything(client)
        await server.is_deserted()
    if at_once:  # else the kernel may have dropped the answer, as bytes came after the close
        assert reply.startswith(b"HTTP/1.1 400 ")
        assert b"\r\nconnection: close\r\n" in reply
    assert reply.count(b"HTTP/1.1") <= 1
    assert b"hello" not in reply


async def test_chunks_alone_keep_the_connection() -> None:
    """A request with one length is answered, and so is the one behind it."""
    head = b"POST /echo HTTP/1.1\r\nHost: x\r\n" + CHUNKED + b"\r\n"
    last = GET.replace(b"Host", b"Connection: close\r\nHost")
    async with open_server() as server, server.peer() as client:
        await client.send(head + SMUGGLED + last)
        reply = await everything(client)
    assert reply.count(b"HTTP/1.1 200 ") == 3
    assert reply.count(b"hello") == 2


async def test_an_answer_that_nobody_reads_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """16 MB would wait in memory as long as the client is there."""
    monkeypatch.setattr(protocols, "WRITE_CHECK_INTERVAL_S", 0.1)
    async with open_server() as server, server.peer() as deaf:
        await deaf.send(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        await server.is_deserted()


async def test_a_slow_reader_gets_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts is whether it takes something, in the kernel too, not whether it is done."""
    monkeypatch.setattr(protocols, "WRITE_CHECK_INTERVAL_S", 0.5)
    async with open_server(min_bytes_per_s=1) as server, server.peer() as slow:
        await slow.send(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        received = 0
        with suppress(anyio.EndOfStream):
            while True:
                received += len(await slow.receive())
                await anyio.sleep(0.01)
    assert received > LARGE


async def test_a_watcher_that_never_reads_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one whose WebSocket would be closed in good manners, which it does not read either."""
    monkeypatch.setattr(protocols, "WRITE_CHECK_INTERVAL_S", 0.1)
    async with (
        open_server() as server,
        connect(f"ws://127.0.0.1:{server.port}/shout", max_queue=1, ping_interval=None) as deaf,
    ):
        await server.is_deserted()
        deaf.transport.abort()


async def test_pings_are_not_answered_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that only pings and never reads makes the server keep all its pongs."""
    monkeypatch.setattr(protocols, "MAX_UNSENT_BYTES", 2**16)
    async with open_server() as server:
        async with connect(f"ws://127.0.0.1:{server.port}/listen", ping_interval=None) as deaf:
            deaf.transport.pause_reading()
            flood = Frame(Opcode.PING, bytes(125)).serialize(mask=True) * 10_000
            while server.n_connections:
                deaf.transport.write(flood)
                await anyio.sleep(0.01)
            deaf.transport.abort()
        await server.is_deserted()

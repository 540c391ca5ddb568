"""Clients that vanish, never read, or are only slow, over real sockets."""

import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio
import anyio.to_thread
import pytest
from gated_backend import GatedBackend
from live_clients import TIMEOUT_S, UID, LiveClient, OpenLiveServer, open_live_server
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from whisperlive_hybrid.backends.fake import pause, speak
from whisperlive_hybrid.live.session import BACKLOG
from whisperlive_hybrid.server.live.transport import TransportLimits

pytestmark = pytest.mark.anyio

SAID = (speak([100, 200]), pause(0.8), speak([300]))
TEXT = "w100 w200 w300"


async def test_client_that_vanished_without_a_word_loses_its_slot() -> None:
    """A client that sends nothing and answers no ping is gone; the next one is admitted."""
    async with open_live_server(max_clients=1, ping_s=0.05) as door, _vanished(door) as gone:
        with anyio.fail_after(TIMEOUT_S):
            await gone.wait()
        async with door.admitted():
            assert door.live.n_clients == 1


async def test_client_that_is_silent_but_alive_stays() -> None:
    """Whoever answers the pings may be silent for longer than one who does not."""
    async with open_live_server(ping_s=0.5) as door, door.admitted() as muted:
        async with _vanished(door) as gone:
            with anyio.fail_after(TIMEOUT_S):
                await gone.wait()
        await muted.say(*SAID)
        await muted.end()
        await muted.rest()
        assert muted.text == TEXT


async def test_slowed_down_client_is_not_taken_for_dead() -> None:
    """While the model is busy nobody reads a client's answers; it stays and loses nothing."""
    held = GatedBackend()
    n_said = BACKLOG + 4  # more than is heard ahead of the model
    async with open_live_server(held, ping_s=0.5) as door, door.admitted() as busy:
        for _ in range(n_said):
            await busy.say(*SAID, pause(0.8))
        await anyio.to_thread.run_sync(held.reached.wait, TIMEOUT_S)
        async with _vanished(door) as gone:
            with anyio.fail_after(TIMEOUT_S):
                await gone.wait()
        held.gate.set()
        await busy.end()
        await busy.rest()
        assert busy.text == " ".join([TEXT] * n_said)


async def test_client_that_sends_no_audio_for_long_is_finished_with() -> None:
    """Its text is completed, and it gets DISCONNECT; empty frames are no audio."""
    async with open_live_server(idle_s=0.5) as door, door.admitted() as idle:
        await idle.say(speak([100, 200]))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_send_nothing, idle)
            await idle.rest()
            tasks.cancel_scope.cancel()
        assert idle.messages[-1]["message"] == "DISCONNECT"
        assert (idle.text, idle.closed_with) == ("w100 w200", 1000)
        await door.wait_until_disconnected()
        assert door.count_endings() == {"idle": 1}


async def test_client_that_waits_for_the_model_is_not_idle() -> None:
    """While nobody hears what it says, a client may not be told that it says nothing."""
    held = GatedBackend()
    n_said = BACKLOG + 4
    async with open_live_server(held, idle_s=0.2) as door, door.admitted() as busy:
        for _ in range(n_said):
            await busy.say(*SAID, pause(0.8))
        await busy.end()
        await anyio.to_thread.run_sync(held.reached.wait, TIMEOUT_S)
        async with door.admitted() as other:  # which is idle meanwhile
            await other.rest()
        held.gate.set()
        await busy.rest()
        assert busy.text == " ".join([TEXT] * n_said)


async def test_a_greeting_has_a_size() -> None:
    """Who has not said who it is cannot fill the memory; afterwards a frame may be as large."""
    async with open_live_server(limits=TransportLimits(most_greeting=2**19)) as door:
        async with door.client() as stranger:
            with suppress(ConnectionClosed):
                await stranger.socket.send(bytes(2**20))
            await door.wait_until_disconnected()
            assert stranger.closed_with == 1006
        async with door.admitted() as known:
            await known.say(*SAID, pause(2**20 / 64_000))
            await known.end()
            await known.rest()
            assert known.text == TEXT


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200, b"431"),
        (b"GET / HTTP/1.1\r\na: " + b"b" * 9000 + b"\r\n", b"431"),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n", b"414"),
        (b"POST / HTTP/1.1\r\n", b"405"),
    ],
    ids=["many headers", "long header", "long path", "no upgrade"],
)
async def test_a_head_has_a_size(head: bytes, status: bytes) -> None:
    """What the library bounds is refused with a status, and the door stays open."""
    async with open_live_server() as door:
        async with await anyio.connect_tcp("127.0.0.1", door.port) as stream:
            await stream.send(head + b"\r\n")
            assert (await stream.receive()).split(b" ")[1] == status
        async with door.admitted():
            assert door.live.n_clients == 1


async def test_pings_are_not_answered_without_bound() -> None:
    """A client that only pings and never reads makes the server keep all its pongs."""
    limits = TransportLimits(most_unsent=2**16)
    flood = Frame(Opcode.PING, bytes(125)).serialize(mask=True) * 10_000
    async with open_live_server(limits=limits) as door, door.admitted() as deaf:
        deaf.socket.transport.pause_reading()
        with anyio.fail_after(TIMEOUT_S):
            while door.live.n_clients:
                deaf.socket.transport.write(flood)
                await anyio.sleep(0.01)
        deaf.socket.transport.abort()


async def test_client_that_never_reads_loses_its_slot() -> None:
    """Text that nobody takes is not kept for ever, and no other client waits meanwhile."""
    async with open_live_server(ping_s=0.2) as door:
        door.shrink_buffers()
        async with (
            door.client(max_queue=1, sock=door.small_socket()) as deaf,
            anyio.create_task_group() as tasks,
        ):
            await deaf.greet(send_last_n_segments=0)
            tasks.start_soon(_speak_on, deaf)
            for _ in range(3):
                assert (await door.transcribe(*SAID)).text == TEXT
            await door.wait_until_empty()
            tasks.cancel_scope.cancel()
        await door.wait_until_disconnected()
        assert door.engine.queue_depth == door.live.n_clients == 0


async def test_close_is_bounded_where_nobody_reads() -> None:
    """A socket without room for the close is cut off, rather than kept for ever."""
    limits = TransportLimits(close_s=0.05, most_unsent=2**30)
    async with open_live_server(limits=limits) as door, door.admitted() as deaf:
        deaf.socket.transport.pause_reading()
        (its_end,) = door.server.connections
        its_end.transport.write(bytes(2**24))  # more than the kernel takes
        await deaf.end()
        await door.wait_until_disconnected()
        deaf.socket.transport.abort()


@asynccontextmanager
async def _vanished(door: OpenLiveServer) -> AsyncIterator[anyio.Event]:
    """A client that was admitted and will never say or answer anything; set when it is let go."""
    others = set(door.admission._clients)
    async with await anyio.connect_tcp("127.0.0.1", door.port) as stream:
        await stream.send(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        handshake = Frame(Opcode.TEXT, json.dumps({"uid": UID, "language": "en"}).encode())
        await stream.send(handshake.serialize(mask=True))
        heard = b""
        while b"SERVER_READY" not in heard:
            heard += await stream.receive()
        (known,) = door.admission._clients - others
        yield known.gone


async def _send_nothing(client: LiveClient) -> None:
    """Send empty frames until the connection ends."""
    with suppress(ConnectionClosed):
        while True:
            await client.socket.send(b"")
            await anyio.sleep(0.05)


async def _speak_on(client: LiveClient) -> None:
    """Speak until the connection ends."""
    with suppress(ConnectionClosed):
        for word in itertools.cycle(range(1, 900)):
            await client.say(speak([word]), pause(0.8))

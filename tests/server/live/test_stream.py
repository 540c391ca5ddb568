"""Live streams without sockets: any transport and any codec."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import time

import anyio
import pytest

from whisperlive_hybrid.auth.caller import Caller, Limits
from whisperlive_hybrid.auth.quotas import Quotas
from whisperlive_hybrid.backends.fake import EnergyVad, FakeBackend, pause, speak
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.model_pool import MemoryBudget, ModelPool
from whisperlive_hybrid.protocol.live import (
    Audio,
    BadHandshake,
    ClientEvent,
    EndOfAudio,
    Frame,
    ServerEvent,
    StreamEnded,
    StreamFailed,
    StreamReady,
    StreamRejected,
    StreamRequest,
    TextUpdate,
)
from whisperlive_hybrid.server.live.admission import Admission, StreamLimits
from whisperlive_hybrid.server.live.stream import LiveStreams
from whisperlive_hybrid.server.live.transport import ClientLeft
from whisperlive_hybrid.types import DecodeOptions

pytestmark = pytest.mark.anyio

PATIENCE_S = 10.0


class PlainCodec:
    """A protocol of lines: `open LANGUAGE`, audio as float32, `stop`; answers are lines."""

    def open(self, first: Frame) -> StreamRequest:
        """Read `open LANGUAGE`."""
        match str(first).split():
            case ["open", language]:
                return StreamRequest(DecodeOptions(language=language))
        raise BadHandshake("Say open LANGUAGE.")

    def receive(self, frame: Frame) -> list[ClientEvent]:
        """Read audio, or audio and the end with it."""
        if isinstance(frame, bytes):
            return [Audio(frame)]
        if frame == "stop":
            return [EndOfAudio()]
        raise BadRequest(f"Unknown line {frame!r}.")

    def render(self, event: ServerEvent) -> list[Frame]:
        """Write completed text, and what happens to the stream."""
        match event:
            case TextUpdate(completed):
                return [f"text{segment.text}" for segment in completed]
            case StreamReady(model):
                return [f"ready {model}"]
            case StreamRejected(retry_after_s):
                return [f"later {retry_after_s:g}"]
            case StreamFailed(message):
                return [f"error {message}"]
            case StreamEnded():
                return ["over"]
        return []


@dataclass
class MemoryTransport:
    """A client in the same process: what it sends, and what was sent to it."""

    sent: list[Frame]
    leaves: bool = False
    """Whether it disappears after its last message, rather than waiting for the close."""
    received: list[Frame] = field(default_factory=list)
    closed_with: int | None = None
    id: str = "live_1"
    caller: Caller = field(default_factory=lambda: Caller("memory"))
    trace_headers: Mapping[str, str] = field(default_factory=dict)

    async def receive(self) -> Frame:
        """Return the next message; then wait, or leave."""
        await anyio.lowlevel.checkpoint()
        if self.sent:
            return self.sent.pop(0)
        if self.leaves:
            raise ClientLeft
        await anyio.sleep_forever()
        raise AssertionError

    async def send(self, frame: Frame) -> None:
        """Keep a message."""
        self.received.append(frame)

    async def ping(self) -> asyncio.Future[float]:
        """Answer at once."""
        pong: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        pong.set_result(0.0)
        return pong

    async def abort(self, reason: str) -> ClientLeft:
        """Note the reason."""
        self.received.append(f"cut off: {reason}")
        return ClientLeft()

    async def close(self, code: int) -> None:
        """Note the code."""
        self.closed_with = code


@asynccontextmanager
async def streams(
    *, max_streams: int = 2, max_stream_s: float = 600.0
) -> AsyncIterator[LiveStreams]:
    """Live streams of an instant model."""
    limits = StreamLimits(max_streams, max_stream_s, idle_s=600.0, ping_s=600.0)
    async with Engine(FakeBackend()) as engine:
        pool = ModelPool(engine, EnergyVad(), (), MemoryBudget(bytes=1, idle_s=1))
        quotas = Quotas(Limits(), time)
        admission = Admission(engine, pool, quotas, limits)
        yield LiveStreams(admission, EnergyVad(), quotas)


async def served(streams: LiveStreams, *frames: Frame, leaves: bool = False) -> MemoryTransport:
    """Serve a client that sends these messages."""
    transport = MemoryTransport(list(frames), leaves)
    with anyio.fail_after(PATIENCE_S):
        await streams.serve(transport, PlainCodec())
    return transport


AUDIO = speak([1, 2]).tobytes() + pause(0.4).tobytes()


async def test_a_stream_of_any_protocol_gets_its_text() -> None:
    """The session knows neither the codec nor the transport."""
    async with streams() as live:
        client = await served(live, "open en", AUDIO, "stop")
    assert client.received == ["ready fake", "text w1 w2"]
    assert client.closed_with == 1000


async def test_a_sample_may_be_split_between_messages() -> None:
    """A codec passes bytes on as they come."""
    async with streams() as live:
        client = await served(live, "open en", AUDIO[:4001], AUDIO[4001:], "stop")
    assert client.received == ["ready fake", "text w1 w2"]


@pytest.mark.parametrize(
    ("frames", "answers"),
    [
        (["hello"], ["error Say open LANGUAGE."]),
        (["open en", AUDIO, "what?"], ["ready fake", "text w1 w2", "error Unknown line 'what?'."]),
    ],
    ids=["first-message", "later-message"],
)
async def test_a_message_that_makes_no_sense_fails_the_stream(
    frames: list[Frame], answers: list[Frame]
) -> None:
    """What was said before it gets its text."""
    async with streams() as live:
        client = await served(live, *frames)
    assert client.received == answers
    assert client.closed_with == 1000


async def test_a_client_that_leaves_is_closed_by_nobody() -> None:
    """Its place is free at once."""
    async with streams(max_streams=1) as live:
        client = await served(live, "open en", AUDIO, leaves=True)
        assert client.closed_with is None
        assert live.admission.n_clients == 0


async def test_a_client_beyond_the_limit_is_told_when_to_come_back() -> None:
    """With the time until the first open stream must end."""
    async with streams(max_streams=1) as live, anyio.create_task_group() as tasks:
        first = MemoryTransport(["open en"])
        tasks.start_soon(live.serve, first, PlainCodec())
        while not first.received:
            await anyio.lowlevel.checkpoint()
        second = await served(live, "open en")
        kind, seconds = str(second.received[0]).split()
        assert kind == "later"
        assert 590 < float(seconds) <= 600
        assert second.closed_with == 1000
        tasks.cancel_scope.cancel()


async def test_draining_completes_the_text_and_asks_to_come_back() -> None:
    """Clients with reconnection come back on 1012; new ones are turned away with it as well."""
    async with streams() as live, anyio.create_task_group() as tasks:
        client = MemoryTransport(["open en", AUDIO])
        tasks.start_soon(live.serve, client, PlainCodec())
        while client.sent:
            await anyio.lowlevel.checkpoint()
        with anyio.fail_after(PATIENCE_S):
            await live.admission.drain(PATIENCE_S)
            while client.closed_with is None:
                await anyio.lowlevel.checkpoint()
        assert client.received == ["ready fake", "text w1 w2"]
        assert client.closed_with == 1012
        late = await served(live, "open en")
    assert (late.received, late.closed_with) == (["later 0"], 1012)


async def test_time_that_is_up_ends_a_stream_with_its_text() -> None:
    """The client is told that the server has ended it."""
    async with streams(max_stream_s=0.05) as live:
        client = await served(live, "open en", AUDIO)
    assert client.received == ["ready fake", "text w1 w2", "over"]
    assert client.closed_with == 1000

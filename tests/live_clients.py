"""A live server on a free port, and a client of the WhisperLive protocol, for tests."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
from fake_keys import NO_KEYS
from metrics_scrape import scrape
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server
from websockets.exceptions import ConnectionClosed

from whisperlive_hybrid.auth.keys import KeySource
from whisperlive_hybrid.auth.quotas import Quotas
from whisperlive_hybrid.backends.base import Backend
from whisperlive_hybrid.backends.fake import EnergyVad, FakeBackend, speak
from whisperlive_hybrid.config import load_settings
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.live.probe import LiveProbe
from whisperlive_hybrid.model_pool import MemoryBudget, ModelPool, ModelSpec
from whisperlive_hybrid.server.app import (
    create_authenticator,
    default_limits,
    model_names,
    origin_policy,
    stream_limits,
    whisperlive_codec,
)
from whisperlive_hybrid.server.live.admission import Admission, trust_known_costs
from whisperlive_hybrid.server.live.server import WhisperLiveServer
from whisperlive_hybrid.server.live.stream import LiveStreams
from whisperlive_hybrid.server.live.transport import TransportLimits
from whisperlive_hybrid.server.live.websocket import UpgradeCheck
from whisperlive_hybrid.server.net.listener import ConnectionLimiter, listen
from whisperlive_hybrid.server.net.tls import build_tls_context
from whisperlive_hybrid.telemetry.metrics import Metrics
from whisperlive_hybrid.text.endings import live_endings
from whisperlive_hybrid.transcribe import VoiceDetector
from whisperlive_hybrid.types import Samples

TIMEOUT_S = 30.0
"""Timeout of tests that wait for a message; no passing test waits so long."""

DEFAULT_LIMITS = TransportLimits()

UID = "0f8fad5b-d9cb-469f-a165-70867728950e"


@dataclass(slots=True)
class LiveClient:
    """A connection and its received messages."""

    socket: ClientConnection
    messages: list[dict[str, Any]] = field(default_factory=list)

    async def greet(self, **keys: object) -> None:
        """Send a handshake in English, unless `keys` say otherwise."""
        await self.socket.send(json.dumps({"uid": UID, "language": "en", **keys}))

    async def say(self, *pieces: Samples) -> None:
        """Send each piece as one frame of float32."""
        for piece in pieces:
            await self.socket.send(piece.astype("<f4").tobytes())

    async def end(self) -> None:
        """Send END_OF_AUDIO."""
        await self.socket.send(b"END_OF_AUDIO")

    async def next(self) -> dict[str, Any]:
        """Return the next message."""
        with anyio.fail_after(TIMEOUT_S):
            self.messages.append(json.loads(await self.socket.recv()))
        return self.messages[-1]

    async def rest(self) -> list[dict[str, Any]]:
        """Return all messages, once the server has closed the connection."""
        try:
            while True:
                await self.next()
        except ConnectionClosed:
            return self.messages

    async def wait_for_text(self) -> None:
        """Wait for a message with text."""
        while not any("segments" in message for message in self.messages):
            await self.next()

    @property
    def closed_with(self) -> int | None:
        """The server's close code."""
        return self.socket.close_code

    @property
    def completed(self) -> list[dict[str, Any]]:
        """All completed segments, joined from the sliding windows of the messages."""
        return completed_segments(self.messages)

    @property
    def text(self) -> str:
        """The completed text."""
        return " ".join(segment["text"].strip() for segment in self.completed)


def completed_segments(messages: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return all completed segments of messages; one that changes appears twice."""
    found: list[dict[str, Any]] = []
    for message in messages:
        for segment in message.get("segments", ()):
            if segment["completed"] and segment not in found:
                found.append(segment)
    return found


@dataclass(slots=True)
class OpenLiveServer:
    """A live server that listens."""

    live: WhisperLiveServer
    admission: Admission
    engine: Engine
    server: Server
    port: int
    metrics: Metrics
    quotas: Quotas

    @asynccontextmanager
    async def client(self, path: str = "", **options: Any) -> AsyncIterator[LiveClient]:  # noqa: ANN401 (of the websockets library)
        """Connect without sending anything."""
        url = f"ws://127.0.0.1:{self.port}{path}"
        async with connect(url, proxy=None, compression=None, **options) as socket:
            yield LiveClient(socket)

    @asynccontextmanager
    async def admitted(self, **keys: object) -> AsyncIterator[LiveClient]:
        """Connect, send a handshake, and wait for SERVER_READY."""
        async with self.admitted_from({}, **keys) as client:
            yield client

    @asynccontextmanager
    async def admitted_from(
        self, headers: Mapping[str, str], **keys: object
    ) -> AsyncIterator[LiveClient]:
        """Connect like `admitted`, with headers of a proxy."""
        async with self.client(additional_headers=headers) as client:
            await client.greet(**keys)
            assert (await client.next()).get("message") == "SERVER_READY", client.messages
            yield client

    async def transcribe(self, *pieces: Samples, **keys: object) -> LiveClient:
        """Send a recording as fast as possible; return the client once the server has closed."""
        async with self.client() as client, anyio.create_task_group() as tasks:
            await client.greet(**keys)
            tasks.start_soon(client.rest)
            await client.say(*pieces)
            await client.end()
        return client

    async def wait_until_empty(self) -> None:
        """Wait until all clients that are admitted now have left."""
        with anyio.fail_after(TIMEOUT_S):
            for client in list(self.admission._clients):
                await client.gone.wait()

    async def wait_until_disconnected(self) -> None:
        """Wait until all current connections have ended, admitted or not."""
        if handlers := list(self.server.handler_tasks):
            _, staying = await asyncio.wait(handlers, timeout=TIMEOUT_S)
            assert not staying

    def count_endings(self) -> dict[str, float]:
        """Return the number of ended streams by reason."""
        name = "whisperlive_live_streams_total"
        seen = scrape(self.metrics)
        reasons = [labels["end"] for labels in seen.labels(name)]
        return {reason: seen.total(name, end=reason) for reason in reasons}

    def shrink_buffers(self) -> None:
        """Shrink the buffers of the listeners; accepted sockets inherit their size."""
        for listener in self.server.sockets:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

    def small_socket(self) -> socket.socket:
        """Return a connected socket with small buffers, for tests of slow readers."""
        small = socket.socket()
        small.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        small.connect(("127.0.0.1", self.port))
        small.setblocking(False)
        return small


@asynccontextmanager
async def open_live_server(
    backend: Backend | None = None,
    detector: VoiceDetector | None = None,
    keys: KeySource = NO_KEYS,
    *,
    others: Sequence[ModelSpec] = (),
    probes: bool = False,
    probe_patience_s: float = TIMEOUT_S,
    limits: TransportLimits = DEFAULT_LIMITS,
    revoked_every_s: float = 5.0,
    **settings: Any,  # noqa: ANN401 (checked by the settings themselves)
) -> AsyncIterator[OpenLiveServer]:
    """Listen on a free port of this machine while inside.

    With `probes` the cost of live work is measured as a server does it. `ping_s` of `limits` is
    that of the settings.
    """
    chosen = load_settings(**{"host": "127.0.0.1", "live_port": 0, **settings})
    async with AsyncExitStack() as stack:
        metrics = Metrics()
        engine = await stack.enter_async_context(
            Engine(backend or FakeBackend(), live_load=chosen.live.live_load)
        )
        quotas = Quotas(default_limits(chosen), time.time)
        keeper = create_authenticator(chosen, keys)
        check = UpgradeCheck(
            keeper, origin_policy(chosen).for_live(chosen.server.host), metrics.server
        )
        probe = LiveProbe(engine, speak(range(1, 13)), probe_patience_s)
        detector = detector or EnergyVad()
        names = model_names(engine.capabilities.model, others, chosen)
        room = MemoryBudget(bytes=1000, idle_s=60)
        pool = await stack.enter_async_context(ModelPool(engine, detector, others, room, names))
        admission = Admission(
            engine,
            pool,
            quotas,
            replace(stream_limits(chosen), revoked_every_s=revoked_every_s),
            refresh_costs=probe.refresh if probes else trust_known_costs,
            is_revoked=keeper.is_revoked,
        )
        limits = replace(limits, ping_s=chosen.live.ping_s)
        streams = LiveStreams(
            admission,
            detector,
            quotas,
            live_endings(chosen.live.live_patience_s),
            metrics.server,
            handshake_s=limits.handshake_s,
            update_interval=lambda: engine.update_interval_s,
        )
        if probes:
            tasks = await stack.enter_async_context(anyio.create_task_group())
            tasks.start_soon(probe.run)
            stack.callback(tasks.cancel_scope.cancel)
        codec = whisperlive_codec(chosen)
        live = WhisperLiveServer(streams, check, codec, limits, build_tls_context(chosen.live))
        listener = listen("127.0.0.1", 0, ConnectionLimiter(1000, 1000), speaks_tls=chosen.live.ssl)
        server = await stack.enter_async_context(live.listening(listener))
        port: int = next(iter(server.sockets)).getsockname()[1]
        yield OpenLiveServer(live, admission, engine, server, port, metrics, quotas)

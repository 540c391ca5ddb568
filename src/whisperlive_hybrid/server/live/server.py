"""The live door: the WhisperLive protocol on the websockets library's own listener."""

import socket as sockets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum
from typing import Final

import anyio
import structlog
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from whisperlive_hybrid.auth.caller import Caller
from whisperlive_hybrid.engine.capacity import Room
from whisperlive_hybrid.errors import BadRequest, NotFound, Overloaded
from whisperlive_hybrid.protocol import whisperlive as wire
from whisperlive_hybrid.server.live.report import Ending
from whisperlive_hybrid.server.live.stream import (
    NORMAL_CLOSURE,
    SERVICE_RESTART,
    LiveMeans,
    LiveStream,
)
from whisperlive_hybrid.server.live.websocket import (
    CLOSE_S,
    BoundedConnection,
    Client,
    LiveConnection,
    LiveEntry,
    close,
    select_subprotocol,
    send,
    session_id,
)
from whisperlive_hybrid.server.net.tls import tls_of
from whisperlive_hybrid.speech.regions import VadOptions, live_vad
from whisperlive_hybrid.telemetry.server_metrics import Door

MAX_FRAME: Final = 16 * 2**20
"""Bytes of one message; the reference allows 1 MiB, no client depends on that."""

MAX_QUEUED_FRAMES: Final = 4
"""Messages that wait for a session before the socket is no longer read."""

HANDSHAKE_S: Final = 10.0
"""For the HTTP upgrade, and again for the first message (the reference's and the library's)."""

TOO_LATE_S: Final = 1.0
"""Lateness of the finals of others at which nobody more is admitted."""

RECOVERY_MINUTES: Final = 1
"""When to try again then, or when there was no capacity."""

REVOKED_EVERY_S: Final = 5.0
"""How often it is looked whether a key of an open stream has been revoked."""

INTERNAL_ERROR: Final = 1011

log = structlog.get_logger(__name__)


class Refusal(Enum):
    """Why a client is not admitted, as the log and the metrics call it."""

    DRAINING = "draining"
    LATE = "late"
    """The model cannot keep up with those who are there."""
    FULL = "full"
    """There are as many as the settings allow."""
    CAPACITY = "capacity"
    """One more could not be served within the bounds, by what live work costs now."""


class LiveDoor:
    """Admits clients, and has a stream for each."""

    def __init__(self, means: LiveMeans, entry: LiveEntry) -> None:
        self._means = means
        self._entry = entry
        self._clients: set[Client] = set()
        self._is_draining = False
        self.port = means.settings.live_port

    @property
    def n_clients(self) -> int:
        """Live streams that are open."""
        return len(self._clients)

    @asynccontextmanager
    async def listening(self, listener: sockets.socket) -> AsyncIterator[Server]:
        """Take connections from `listener` while inside; leaving it closes what is still open."""
        async with serve(
            self._welcome,
            sock=listener,
            create_connection=LiveConnection,
            ssl=tls_of(self._means.settings),
            compression=None,  # an idle socket costs 15 kB in place of 48
            max_size=MAX_FRAME,
            max_queue=MAX_QUEUED_FRAMES,
            open_timeout=HANDSHAKE_S,
            close_timeout=CLOSE_S,
            ping_interval=None,  # pings are ours, see `connection`
            select_subprotocol=select_subprotocol,
            process_request=self._entry.screen,
        ) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            yield server

    async def heed_revocations(self) -> None:
        """Hear out the streams whose keys are revoked, no more; to be run as a task."""
        while True:
            await anyio.sleep(REVOKED_EVERY_S)
            for client in self._clients:
                if self._entry.doorkeeper.has_revoked(client.caller):
                    client.stop(Ending.KEY_REVOKED)

    async def drain(self, timeout_s: float) -> None:
        """Admit nobody more; complete the text of every client and close its socket with 1012."""
        self._is_draining = True
        clients = list(self._clients)
        for client in clients:
            client.stop(Ending.DRAINING)
        with anyio.move_on_after(timeout_s):
            for client in clients:
                await client.gone.wait()

    async def _welcome(self, socket: ServerConnection) -> None:
        """One connection from its handshake to its end; no fault of one reaches another."""
        with (
            structlog.contextvars.bound_contextvars(
                session_id=session_id(socket), caller=_caller(socket).account
            ),
            self._means.tracer.joined(_trace_headers(socket)),
        ):
            try:
                await self._admit(socket)
            except* ConnectionClosed:
                log.info("client left without END_OF_AUDIO")
            except* Exception as group:
                self._means.metrics.failed(Door.LIVE, group)
                log.exception("connection failed")
                await close(socket, INTERNAL_ERROR)

    async def _admit(self, socket: ServerConnection) -> None:
        means = self._means
        try:
            vad = live_vad(self._means.settings.live_endpoint_s)
            handshake = await _first_message(socket, vad)
        except wire.BadHandshake as error:
            await self._refuse_handshake(socket, error, error.uid)
            return
        try:
            model = means.pool.names.resolve(handshake.model or None)
        except NotFound as error:
            await self._refuse_handshake(socket, error, handshake.uid)
            return
        knows_costs = True
        if means.engine.live_room is Room.UNKNOWN and not self._is_draining:
            knows_costs = await means.refresh_costs()
        # From here to the place in the engine nothing waits: of two that come together, the
        # second is judged with the first one counted.
        if refused := self._refusal(knows_costs=knows_costs):
            await self._refuse(socket, handshake, *refused)
            return
        caller = _caller(socket)
        try:
            with (
                means.meter.stream(caller, means.settings.max_connection_s),
                means.engine.open_stream() as report_speech,
            ):
                client = Client(caller, means.settings)
                async with means.pool.lease(model, caller.account) as transcriber:
                    stream = LiveStream(
                        means, socket, handshake, client, transcriber.decoder, report_speech
                    )
                    code = await self._admitted(stream, client)
        except Overloaded as error:
            message = wire.wait(handshake.uid, error.retry_after_s / 60)
            means.metrics.failed(Door.LIVE, error)
            log.info("client refused", reason=error.message)
            await self._turn_away(socket, message)
            return
        await close(socket, code)

    async def _admitted(self, stream: LiveStream, client: Client) -> int:
        """Serve a client while it is counted; return the code to close with."""
        self._clients.add(client)
        try:
            return await stream.run()
        finally:
            self._clients.remove(client)
            client.gone.set()

    def _refusal(self, *, knows_costs: bool) -> tuple[Refusal, float] | None:
        """Why one more client cannot be admitted now, and in how many minutes it may be."""
        engine, settings = self._means.engine, self._means.settings
        if self._is_draining:
            return Refusal.DRAINING, 0
        if engine.live_lateness_s > TOO_LATE_S:
            return Refusal.LATE, RECOVERY_MINUTES
        if len(self._clients) >= settings.max_clients:
            soonest_s = min(client.until for client in self._clients) - anyio.current_time()
            return Refusal.FULL, max(0.0, soonest_s) / 60
        # Where the measurement itself takes too long there is no room; where it failed, the model
        # may still serve.
        room = engine.live_room
        if room is Room.NO or (room is Room.UNKNOWN and not knows_costs):
            return Refusal.CAPACITY, RECOVERY_MINUTES
        return None

    async def _refuse_handshake(
        self, socket: ServerConnection, error: BadRequest, uid: object
    ) -> None:
        """Turn away a client that asks for something that makes no sense."""
        self._means.metrics.failed(Door.LIVE, error)
        log.info("client refused", reason=error.message)
        await self._turn_away(socket, wire.error(uid, error.message))

    async def _refuse(
        self, socket: ServerConnection, handshake: wire.Handshake, why: Refusal, minutes: float
    ) -> None:
        self._means.metrics.refused(Door.LIVE, why.value)
        estimate = self._means.engine.live_estimate(self._means.settings.max_clients)
        log.info(
            "client refused",
            reason=why.value,
            minutes=round(minutes, 2),
            clients=len(self._clients),
            capacity=estimate.capacity,
            load=round(estimate.load, 2),
        )
        code = SERVICE_RESTART if why is Refusal.DRAINING else NORMAL_CLOSURE
        await self._turn_away(socket, wire.wait(handshake.uid, minutes), code)

    async def _turn_away(
        self, socket: ServerConnection, message: str, code: int = NORMAL_CLOSURE
    ) -> None:
        await send(socket, message, self._means.settings.ping_s)
        await close(socket, code)


async def _first_message(socket: ServerConnection, vad: VadOptions) -> wire.Handshake:
    assert isinstance(socket, BoundedConnection)  # noqa: S101 (the door makes no others)
    with anyio.move_on_after(HANDSHAKE_S):
        frame = await socket.recv()
        socket.has_greeted = True
        return wire.parse_handshake(frame, vad)
    raise wire.BadHandshake(f"No handshake came in {HANDSHAKE_S:g} s.", uid=None)


def _trace_headers(socket: ServerConnection) -> dict[str, str]:
    request = socket.request  # None: it was none
    return {name.lower(): value for name, value in request.headers.raw_items()} if request else {}


def _caller(socket: ServerConnection) -> Caller:
    assert isinstance(socket, LiveConnection)  # noqa: S101 (the door makes no others)
    return socket.caller

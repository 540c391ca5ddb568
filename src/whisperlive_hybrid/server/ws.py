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

from whisperlive_hybrid.access.caller import Caller
from whisperlive_hybrid.access.meter import Meter
from whisperlive_hybrid.access.usage import Usage
from whisperlive_hybrid.audio.pcm import PcmFormat, PcmReader
from whisperlive_hybrid.captions import Gap, LanguageFound, Text
from whisperlive_hybrid.config import Settings
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.errors import LimitReached, WhisperLiveError
from whisperlive_hybrid.protocol import whisperlive as wire
from whisperlive_hybrid.server.connection import (
    CLOSE_S,
    BoundedConnection,
    Client,
    close,
    session_id,
    taken,
)
from whisperlive_hybrid.server.live_entry import LiveConnection, LiveEntry, select_subprotocol
from whisperlive_hybrid.server.stream_report import Ending, StreamReport
from whisperlive_hybrid.server.tls import tls_of
from whisperlive_hybrid.session import LiveOptions, LiveSession
from whisperlive_hybrid.telemetry.door_metrics import Door, DoorMetrics
from whisperlive_hybrid.telemetry.metrics import Metrics
from whisperlive_hybrid.telemetry.tracing import NO_TRACER, Tracer
from whisperlive_hybrid.transcribe import VoiceDetector
from whisperlive_hybrid.types import SAMPLE_RATE, DecodeOptions, Samples, Thresholds

MAX_FRAME: Final = 16 * 2**20
"""Bytes of one message; the reference allows 1 MiB, no client depends on that."""

MAX_QUEUED_FRAMES: Final = 4
"""Messages that wait for a session before the socket is no longer read."""

HANDSHAKE_S: Final = 10.0
"""For the HTTP upgrade, and again for the first message (the reference's and the library's)."""

TOO_LATE_S: Final = 1.0
"""Lateness of the finals of others at which nobody more is admitted."""

RECOVERY_MINUTES: Final = 1
"""When to try again then."""

_DOUBTFUL: Final = "the audio is not float32 in [-1, 1]: its client should say audio_format"

NORMAL_CLOSURE: Final = 1000
INTERNAL_ERROR: Final = 1011
SERVICE_RESTART: Final = 1012

log = structlog.get_logger(__name__)


class Refusal(Enum):
    """Why a client is not admitted, as the log and the metrics call it."""

    DRAINING = "draining"
    LATE = "late"
    """The model cannot keep up with those who are there."""
    FULL = "full"


class LiveDoor:
    """Admits clients and runs a session for each."""

    def __init__(
        self,
        engine: Engine,
        detector: VoiceDetector,
        settings: Settings,
        meter: Meter,
        entry: LiveEntry,
        metrics: DoorMetrics | None = None,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._metrics = metrics or Metrics().doors
        self._tracer = tracer
        self._engine = engine
        self._detector = detector
        self._settings = settings
        self._meter = meter
        self._entry = entry
        self._clients: set[Client] = set()
        self._is_draining = False
        self.port = settings.live_port

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
            ssl=tls_of(self._settings),
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

    async def drain(self, timeout_s: float) -> None:
        """Admit nobody more; complete the text of every client and close its socket with 1012."""
        self._is_draining = True
        clients = list(self._clients)
        for client in clients:
            client.stop()
        with anyio.move_on_after(timeout_s):
            for client in clients:
                await client.gone.wait()

    async def _welcome(self, socket: ServerConnection) -> None:
        """One connection from its handshake to its end; no fault of one reaches another."""
        with (
            structlog.contextvars.bound_contextvars(session_id=session_id(socket)),
            self._tracer.joined(_trace_headers(socket)),
        ):
            try:
                await self._admit(socket)
            except* ConnectionClosed:
                log.info("client left without END_OF_AUDIO")
            except* Exception as group:
                self._metrics.failed(Door.LIVE, group)
                log.exception("connection failed")
                await close(socket, INTERNAL_ERROR)

    async def _admit(self, socket: ServerConnection) -> None:
        try:
            handshake = await _first_message(socket)
        except wire.BadHandshake as error:
            self._metrics.failed(Door.LIVE, error)
            log.info("client refused", reason=error.message)
            await self._turn_away(socket, wire.error(error.uid, error.message))
            return
        if self._is_draining:
            message = wire.wait(handshake.uid, 0)
            await self._refuse(socket, message, Refusal.DRAINING, SERVICE_RESTART)
            return
        if self._engine.live_lateness_s > TOO_LATE_S:
            message = wire.wait(handshake.uid, RECOVERY_MINUTES)
            await self._refuse(socket, message, Refusal.LATE)
            return
        if len(self._clients) >= self._settings.max_clients:
            soonest_s = min(client.until for client in self._clients) - anyio.current_time()
            message = wire.wait(handshake.uid, max(0.0, soonest_s) / 60)
            await self._refuse(socket, message, Refusal.FULL)
            return
        caller = _caller(socket)
        try:
            with self._meter.stream(caller, self._settings.max_connection_s):
                client = Client(caller, self._settings)
                code = await self._admitted(socket, handshake, client)
        except LimitReached as error:
            message = wire.wait(handshake.uid, error.retry_after_s / 60)
            self._metrics.failed(Door.LIVE, error)
            log.info("client refused", reason=error.message)
            await self._turn_away(socket, message)
            return
        await close(socket, code)

    async def _admitted(
        self, socket: ServerConnection, handshake: wire.Handshake, client: Client
    ) -> int:
        """Serve a client while it is counted; return the code to close with."""
        self._clients.add(client)
        try:
            return await self._serve(socket, handshake, client)
        finally:
            self._clients.remove(client)
            client.gone.set()

    async def _refuse(
        self, socket: ServerConnection, message: str, why: Refusal, code: int = NORMAL_CLOSURE
    ) -> None:
        self._metrics.refused(Door.LIVE, why.value)
        log.info("client refused", reason=why.value)
        await self._turn_away(socket, message, code)

    async def _turn_away(
        self, socket: ServerConnection, message: str, code: int = NORMAL_CLOSURE
    ) -> None:
        await self._send(socket, message)
        await close(socket, code)

    async def _send(self, socket: ServerConnection, message: str) -> None:
        """Send a message; a client that takes nothing for as long as a ping may take is cut off."""
        await taken(socket, socket.send(message), 2 * self._settings.ping_s)

    async def _serve(
        self, socket: ServerConnection, handshake: wire.Handshake, client: Client
    ) -> int:
        """Run a session to its end; return the code to close with."""
        log.info("client admitted", language=handshake.language, task=handshake.task.value)
        if handshake.not_yet:
            log.warning("not supported yet and left out", keys=handshake.not_yet)
        with StreamReport(self._metrics, self._tracer, session_id(socket)) as report:
            try:
                await self._stream(socket, handshake, client, report)
            except* WhisperLiveError as group:
                error = group.exceptions[0]
                log.warning("stream failed", reason=str(error))
                report.failed(error)
                await self._send(socket, wire.error(handshake.uid, str(error)))
            if client.is_told_to_stop:
                report.ending = Ending.DRAINING
                return SERVICE_RESTART
            if client.is_out_of_time:
                report.ending = Ending.TIME_UP
                await self._send(socket, wire.disconnect(handshake.uid))
            return NORMAL_CLOSURE

    async def _stream(
        self,
        socket: ServerConnection,
        handshake: wire.Handshake,
        client: Client,
        report: StreamReport,
    ) -> None:
        writer = wire.SegmentWriter(handshake.uid, handshake.window)

        async def publish(news: LanguageFound | Text | Gap) -> None:
            match news:
                case LanguageFound():
                    await self._send(socket, wire.language_detected(handshake.uid, news.language))
                case Text():
                    report.completed(len(news.completed))
                    for message in writer.messages(news.completed, news.tentative, news.stable):
                        await self._send(socket, message)
                case Gap():
                    report.gap(news)

        async with anyio.create_task_group() as tasks:
            live = _live_options(handshake)
            session = LiveSession(self._engine, self._detector, live, publish, tasks, report)
            await self._send(socket, wire.server_ready(handshake.uid))
            tasks.start_soon(self._listen, socket, handshake, client, session, report)
            await session.run()

    async def _listen(
        self,
        socket: ServerConnection,
        handshake: wire.Handshake,
        client: Client,
        session: LiveSession,
        report: StreamReport,
    ) -> None:
        """Feed the session until the client has said everything, or may not say more."""
        by_default = PcmFormat.INT16 if self._settings.raw_pcm_input else None
        pcm = PcmReader(handshake.audio_format or by_default)
        is_told = False
        while (frame := await client.next_frame(socket)) is not None:
            event = wire.receive(frame)
            if isinstance(event, wire.EndOfAudio):
                break
            await self._hear(pcm.read(event.payload), client, session, report)
            if pcm.is_doubtful and not is_told:
                log.warning(_DOUBTFUL, declared=handshake.audio_format)
                is_told = True
        await self._hear(pcm.flush(), client, session, report)
        await session.finish()

    async def _hear(
        self, samples: Samples, client: Client, session: LiveSession, report: StreamReport
    ) -> None:
        """Feed the session, and book it; a client that has used up its day is heard out."""
        report.heard(len(samples))
        await session.hear(samples)
        self._meter.add(client.caller.account, Usage(live_s=len(samples) / SAMPLE_RATE))
        if not self._meter.has_audio_left(client.caller):
            client.run_out()


async def _first_message(socket: ServerConnection) -> wire.Handshake:
    assert isinstance(socket, BoundedConnection)  # noqa: S101 (the door makes no others)
    with anyio.move_on_after(HANDSHAKE_S):
        frame = await socket.recv()
        socket.has_greeted = True
        return wire.parse_handshake(frame)
    raise wire.BadHandshake(f"No handshake came in {HANDSHAKE_S:g} s.", uid=None)


def _trace_headers(socket: ServerConnection) -> dict[str, str]:
    request = socket.request  # None: it was none
    return {name.lower(): value for name, value in request.headers.raw_items()} if request else {}


def _caller(socket: ServerConnection) -> Caller:
    assert isinstance(socket, LiveConnection)  # noqa: S101 (the door makes no others)
    return socket.caller


def _live_options(handshake: wire.Handshake) -> LiveOptions:
    return LiveOptions(
        DecodeOptions(
            language=handshake.language,
            task=handshake.task,
            prompt=handshake.initial_prompt,
            hotwords=handshake.hotwords,
            words=handshake.word_timestamps,
            thresholds=Thresholds(no_speech=handshake.no_speech_thresh),
        ),
        handshake.vad,
    )

"""Admission of live streams, once for all protocols; and the time limits of those admitted."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Final

import anyio
import structlog

from whisperlive_hybrid.auth.caller import Caller
from whisperlive_hybrid.auth.quotas import Quotas
from whisperlive_hybrid.engine.capacity import Room
from whisperlive_hybrid.engine.client import Decoder, EngineClient
from whisperlive_hybrid.errors import Overloaded
from whisperlive_hybrid.model_pool import ModelPool
from whisperlive_hybrid.protocol.live import Frame
from whisperlive_hybrid.server.live.report import Ending
from whisperlive_hybrid.server.live.transport import Transport

TOO_LATE_S: Final = 1.0
"""Lateness of the finals of open streams at which no further one is admitted."""

RECOVERY_S: Final = 60.0
"""When to try again then, or when there was no capacity."""

log = structlog.get_logger(__name__)


class RejectReason(Enum):
    """Why a client is not admitted, as the log and the metrics call it."""

    DRAINING = "draining"
    LATE = "late"
    """The model cannot keep up with the open streams."""
    FULL = "full"
    """There are as many streams as the settings allow."""
    CAPACITY = "capacity"
    """One more could not be served within the bounds, by what live work costs now."""


class Rejected(Overloaded):
    """A client is not admitted."""

    def __init__(self, reason: RejectReason, retry_after_s: float) -> None:
        super().__init__(
            f"No live stream is admitted: {reason.value}.", retry_after_s=retry_after_s
        )
        self.reason = reason


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Bounds of live streams; times in seconds."""

    max_streams: int
    max_stream_s: float
    """How long a stream may last."""
    idle_s: float
    """How long a client may send no audio."""
    ping_s: float
    """Silence after which a client is pinged; it must answer within the same time."""
    revoked_every_s: float = 5.0
    """Between two looks at whether keys of open streams were revoked."""


class Client:
    """An admitted client: its messages within the time limits, until it is stopped."""

    def __init__(self, caller: Caller, limits: StreamLimits) -> None:
        self.caller = caller
        self.until = anyio.current_time() + limits.max_stream_s
        self.gone = anyio.Event()
        self.ending: Ending | None = None
        """Why no more is read of it; None while it may send, or has sent everything."""
        self._limits = limits
        self._idle_until = self.until
        self._has_sent = True
        self._receiving = anyio.CancelScope()

    def stop(self, why: Ending) -> None:
        """Read no more of it; what was received is completed. The first reason counts."""
        if self.ending is None:
            self.ending = why
            self.until = anyio.current_time()
            self._receiving.cancel()

    async def next_frame(self, transport: Transport) -> Frame | None:
        """Return the next message; None when it may send no more (`ending`).

        A client that sends nothing for `ping_s` is pinged and must answer; one that sends no audio
        for `idle_s` is stopped.
        """
        if self._has_sent:  # from now on: until now the session may have been busy
            self._idle_until = anyio.current_time() + self._limits.idle_s
        pong: asyncio.Future[float] | None = None
        # A message that already waits is received without a pause, and without a look at the time.
        while self._may_send():
            next_ping = anyio.current_time() + self._limits.ping_s
            deadline = min(self.until, self._idle_until, next_ping)
            with anyio.CancelScope(deadline=deadline) as self._receiving:
                frame = await transport.receive()
                self._has_sent = bool(frame)  # empty messages are allowed, and are no audio
                return frame
            if self._may_send():
                if pong is not None and not pong.done():
                    raise await transport.abort("it answers no ping")
                pong = await transport.ping()
        return None

    def _may_send(self) -> bool:
        now = anyio.current_time()
        if now >= self.until:
            self.stop(Ending.TIME_UP)
        elif now >= self._idle_until:
            self.stop(Ending.IDLE)
        return self.ending is None


@dataclass(frozen=True, slots=True)
class Admitted:
    """What an admitted stream works with."""

    client: Client
    decoder: Decoder
    report_speech: Callable[[float], None]
    """To be called with the seconds of speech in the audio received."""


async def trust_known_costs() -> bool:
    """Measure nothing: the costs that the engine knows are as good as new."""
    return True


class Admission:
    """Decides which live streams are served, counts them, and stops them."""

    def __init__(
        self,
        engine: EngineClient,
        pool: ModelPool,
        quotas: Quotas,
        limits: StreamLimits,
        *,
        refresh_costs: Callable[[], Awaitable[bool]] = trust_known_costs,
        is_revoked: Callable[[Caller], bool] = lambda _: False,
    ) -> None:
        """`refresh_costs` measures what live work costs now; false if that took too long."""
        self._engine = engine
        self._pool = pool
        self._quotas = quotas
        self._limits = limits
        self._refresh_costs = refresh_costs
        self._is_revoked = is_revoked
        self._clients: set[Client] = set()
        self._is_draining = False

    @property
    def n_clients(self) -> int:
        """Live streams that are open."""
        return len(self._clients)

    @asynccontextmanager
    async def admit(self, model: str, caller: Caller) -> AsyncIterator[Admitted]:
        """Serve a stream with `model`, as requests spell it, for as long as the context lasts.

        Raise `NotFound` for an unknown model, `Rejected` if there is no place now, and what the
        caller's quotas and the model's loading raise.
        """
        name = self._pool.names.resolve(model or None)
        knows_costs = True
        if self._engine.live_room is Room.UNKNOWN and not self._is_draining:
            knows_costs = await self._refresh_costs()
        # From here to the place in the engine nothing is awaited: of two clients that come
        # together, the second is judged with the first one counted.
        self._check(knows_costs=knows_costs)
        with (
            self._quotas.open_stream(caller, self._limits.max_stream_s),
            self._engine.open_stream() as report_speech,
        ):
            client = Client(caller, self._limits)
            async with self._pool.lease(name, caller.account) as transcriber:
                self._clients.add(client)
                try:
                    yield Admitted(client, transcriber.decoder, report_speech)
                finally:
                    self._clients.remove(client)
                    client.gone.set()

    async def close_revoked(self) -> None:
        """Stop the streams whose keys are revoked; runs until it is cancelled."""
        while True:
            await anyio.sleep(self._limits.revoked_every_s)
            for client in self._clients:
                if self._is_revoked(client.caller):
                    client.stop(Ending.KEY_REVOKED)

    async def drain(self, timeout_s: float) -> None:
        """Admit no more; complete the text of every client and wait until they are closed."""
        self._is_draining = True
        clients = list(self._clients)
        for client in clients:
            client.stop(Ending.DRAINING)
        with anyio.move_on_after(timeout_s):
            for client in clients:
                await client.gone.wait()

    def _check(self, *, knows_costs: bool) -> None:
        """Raise `Rejected` if no more clients can be admitted now."""
        if self._is_draining:
            raise Rejected(RejectReason.DRAINING, 0.0)
        if self._engine.live_lateness_s > TOO_LATE_S:
            raise Rejected(RejectReason.LATE, RECOVERY_S)
        if len(self._clients) >= self._limits.max_streams:
            soonest_s = min(client.until for client in self._clients) - anyio.current_time()
            raise Rejected(RejectReason.FULL, max(0.0, soonest_s))
        # Where the measurement itself takes too long there is no room; where it failed, the model
        # may still serve.
        room = self._engine.live_room
        if room is Room.NO or (room is Room.UNKNOWN and not knows_costs):
            raise Rejected(RejectReason.CAPACITY, RECOVERY_S)

    def log_rejection(self, rejected: Rejected) -> None:
        """Write a line with what the decision was made from."""
        estimate = self._engine.live_estimate(self._limits.max_streams)
        log.info(
            "client refused",
            reason=rejected.reason.value,
            minutes=round((rejected.retry_after_s or 0.0) / 60, 2),
            clients=len(self._clients),
            capacity=estimate.capacity,
            load=round(estimate.load, 2),
        )

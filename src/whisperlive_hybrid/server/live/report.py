"""Counts of one live stream, for its last line in the log, the metrics and the traces."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from enum import Enum
from types import TracebackType
from typing import Final, Self

import structlog

from whisperlive_hybrid.protocol.live import Gap
from whisperlive_hybrid.server.live.transport import ClientLeft
from whisperlive_hybrid.telemetry.server_metrics import Endpoint, ServerMetrics
from whisperlive_hybrid.telemetry.tracing import Tracer
from whisperlive_hybrid.types import SAMPLE_RATE, Urgency

log = structlog.get_logger(__name__)


class Ending(Enum):
    """Why a stream ended."""

    END_OF_AUDIO = "end_of_audio"
    LEFT = "client_left"
    TIME_UP = "time_up"
    """It had lasted as long as a stream may."""
    IDLE = "idle"
    """No audio was received for too long."""
    DAY_USED_UP = "day_used_up"
    KEY_REVOKED = "key_revoked"
    DRAINING = "draining"
    FAILED = "failed"
    """The client was sent an error."""
    DEFECT = "defect"
    STOPPED = "stopped"
    """The server stopped before the text was complete."""


_SPANS: Final = {Urgency.FINAL: "live utterance", Urgency.UPDATE: "live update"}


class StreamReport:
    """Counts while a stream lasts: a context from its admission to its end.

    It is the `StreamObserver` of its session.
    """

    def __init__(
        self,
        metrics: ServerMetrics,
        tracer: Tracer,
        session_id: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._metrics = metrics
        self._tracer = tracer
        self._session_id = session_id
        self._clock = clock
        self._since = clock()
        self._n_samples = 0
        self._n_segments = 0
        self._n_gaps = 0
        self.ending = Ending.END_OF_AUDIO

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
    ) -> None:
        if error is not None:
            self.ending = _ending_by(error)
        self._metrics.live.count_end(self.ending.value)
        log.info(
            "stream ended",
            end=self.ending.value,
            seconds=round(self._clock() - self._since, 3),
            audio_s=round(self._n_samples / SAMPLE_RATE, 3),
            segments=self._n_segments,
            gaps=self._n_gaps,
        )

    def add_audio(self, n_samples: int) -> None:
        """Count samples received."""
        self._n_samples += n_samples
        self._metrics.count_audio(Endpoint.LIVE, n_samples / SAMPLE_RATE)

    def add_segments(self, n_segments: int) -> None:
        """Count final segments."""
        self._n_segments += n_segments

    def add_gap(self, gap: Gap) -> None:
        """Count and log a stretch of audio on which the model failed."""
        self._n_gaps += 1
        self._metrics.live.count_gap(gap.end - gap.start)
        log.error("the model failed on audio", start=gap.start, end=gap.end)

    def fail(self, error: Exception) -> None:
        """Record the error that ends the stream and is sent to the client."""
        self.ending = Ending.FAILED
        self._metrics.count_failure(Endpoint.LIVE, error)

    def span(self, urgency: Urgency) -> AbstractContextManager[object]:
        """Return a trace span for the decoding of an utterance."""
        return self._tracer.span(_SPANS[urgency], {"whisperlive.session_id": self._session_id})

    def on_final(self, latency_s: float) -> None:
        """Record the latency of a final text."""
        self._metrics.live.observe_latency(latency_s)


def _ending_by(error: BaseException) -> Ending:
    """Return the ending that an exception means; of a group, that of its worst."""
    if isinstance(error, BaseExceptionGroup):
        endings = [_ending_by(each) for each in error.exceptions]
        return Ending.DEFECT if Ending.DEFECT in endings else endings[0]
    if isinstance(error, ClientLeft):
        return Ending.LEFT
    return Ending.DEFECT if isinstance(error, Exception) else Ending.STOPPED

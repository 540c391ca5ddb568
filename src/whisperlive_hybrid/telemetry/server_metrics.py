"""What Prometheus is told of the doors: requests, streams, audio, delays, refusals and faults."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from whisperlive_hybrid.errors import (
    ModelUnavailable,
    OutOfSpace,
    Overloaded,
    Stalled,
    TooLarge,
    error_kind,
)
from whisperlive_hybrid.telemetry.tracing import Tracer

LATENCY_BUCKETS: Final = (0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30)
REQUEST_BUCKETS: Final = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)

REFUSALS: Final = (Overloaded, OutOfSpace, ModelUnavailable, TooLarge, Stalled)
"""What the server would not take, however well it was asked; all else is an error."""


class Door(Enum):
    """Where audio comes in."""

    LIVE = "live"
    HTTP = "http"
    JOBS = "jobs"


@dataclass(frozen=True, slots=True)
class Served:
    """One request of the HTTP door, as its metrics see it: only labels of bounded sets."""

    method: str
    route: str
    """The template, as in /v1/jobs/{job_id}."""
    status: int
    seconds: float


class DoorMetrics:
    """Counts for all doors; safe to call from any thread."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._audio = Counter(
            "whisperlive_audio_seconds",
            "Audio that came in; what a job decodes again after a restart counts again.",
            ["door"],
            registry=registry,
        )
        self._refused = Counter(
            "whisperlive_refused",
            "Requests, streams and files that the server would not take, by reason.",
            ["door", "reason"],
            registry=registry,
        )
        self._errors = Counter(
            "whisperlive_errors",
            "Everything else that went wrong, by kind; `defect` is a fault in the server.",
            ["door", "kind"],
            registry=registry,
        )
        self._requests = Counter(
            "whisperlive_http_requests",
            "Requests of the HTTP door that have ended.",
            ["method", "route", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "whisperlive_http_request_duration_seconds",
            "From the head of a request to the last byte of its reply.",
            ["route"],
            registry=registry,
            buckets=REQUEST_BUCKETS,
        )
        self.live = LiveMetrics(registry)
        for door in Door:
            self._audio.labels(door.value)

    def heard(self, door: Door, seconds: float) -> None:
        """Audio has come in."""
        self._audio.labels(door.value).inc(seconds)

    def served(self, request: Served) -> None:
        """A request has ended."""
        self._requests.labels(request.method, request.route, str(request.status)).inc()
        self._seconds.labels(request.route).observe(request.seconds)

    def failed(self, door: Door, error: Exception) -> None:
        """A request, a stream or a file of a job has come to nothing."""
        if isinstance(error, REFUSALS):
            self.refused(door, error_kind(error))
        else:
            self._errors.labels(door.value, error_kind(error)).inc()

    def refused(self, door: Door, reason: str) -> None:
        """Something was not taken; `reason` is one of a few words of ours."""
        self._refused.labels(door.value, reason).inc()

    def connection_refused(self) -> None:
        """A connection was closed before it could say which door it wants, or what."""
        self._refused.labels("any", "too_many_connections").inc()


class LiveMetrics:
    """What only live streams have."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._latency = Histogram(
            "whisperlive_final_latency_seconds",
            "From the arrival of the end of an utterance's speech to its final text sent.",
            registry=registry,
            buckets=LATENCY_BUCKETS,
        )
        self._streams = Counter(
            "whisperlive_live_streams",
            "Live streams that have ended, by why.",
            ["end"],
            registry=registry,
        )
        self._gaps = Counter(
            "whisperlive_dropped_audio_gaps",
            "Stretches of live streams without text because the model failed on them twice.",
            registry=registry,
        )
        self._gap_seconds = Counter(
            "whisperlive_dropped_audio_seconds",
            "Their audio.",
            registry=registry,
        )

    def finalised(self, latency_s: float) -> None:
        """The final text of an utterance was sent."""
        self._latency.observe(latency_s)

    def gap(self, seconds: float) -> None:
        """There will be no text for a stretch of audio."""
        self._gaps.inc()
        self._gap_seconds.inc(seconds)

    def ended(self, why: str) -> None:
        """A stream has ended; `why` is one of a few words of ours."""
        self._streams.labels(why).inc()


class FileReport:
    """The `FileObserver` of all jobs."""

    def __init__(self, metrics: DoorMetrics, tracer: Tracer) -> None:
        self._metrics = metrics
        self._tracer = tracer

    def reading(self, job_id: str) -> AbstractContextManager[object]:
        """A span around a file."""
        return self._tracer.span("job file", {"whisperlive.job_id": job_id})

    def failed(self, error: Exception) -> None:
        """A file has come to nothing."""
        self._metrics.failed(Door.JOBS, error)

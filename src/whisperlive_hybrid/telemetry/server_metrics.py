"""Prometheus metrics of the servers: requests, streams, audio, latency, rejections and errors."""

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
"""Rejections of valid requests, for lack of capacity; everything else is an error."""


class Endpoint(Enum):
    """Where audio is received; the label `door` of the metrics."""

    LIVE = "live"
    HTTP = "http"
    JOBS = "jobs"


@dataclass(frozen=True, slots=True)
class CompletedRequest:
    """One HTTP request for the metrics; the labels have few values, whatever clients send."""

    method: str
    route: str
    """The template, as in /v1/jobs/{job_id}."""
    status: int
    seconds: float


class ServerMetrics:
    """Counters of all endpoints; thread-safe."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._audio = Counter(
            "whisperlive_audio_seconds",
            "Audio received; a job that is decoded again after a restart counts again.",
            ["door"],
            registry=registry,
        )
        self._refused = Counter(
            "whisperlive_refused",
            "Requests, streams and files that the server rejected, by reason.",
            ["door", "reason"],
            registry=registry,
        )
        self._errors = Counter(
            "whisperlive_errors",
            "All other failures, by kind; `defect` is a defect of the server.",
            ["door", "kind"],
            registry=registry,
        )
        self._requests = Counter(
            "whisperlive_http_requests",
            "HTTP requests that have ended.",
            ["method", "route", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "whisperlive_http_request_duration_seconds",
            "Time from the head of a request to the last byte of its response.",
            ["route"],
            registry=registry,
            buckets=REQUEST_BUCKETS,
        )
        self.live = LiveMetrics(registry)
        # Series that exist from the start: a rate over a series that appears later is wrong.
        for endpoint in Endpoint:
            self._audio.labels(endpoint.value)

    def count_audio(self, endpoint: Endpoint, seconds: float) -> None:
        """Count received audio."""
        self._audio.labels(endpoint.value).inc(seconds)

    def count_request(self, request: CompletedRequest) -> None:
        """Count an HTTP request that has ended."""
        self._requests.labels(request.method, request.route, str(request.status)).inc()
        self._seconds.labels(request.route).observe(request.seconds)

    def count_failure(self, endpoint: Endpoint, error: Exception) -> None:
        """Count a request, stream or file that failed, as a rejection or as an error."""
        if isinstance(error, REFUSALS):
            self.count_refusal(endpoint, error_kind(error))
        else:
            self._errors.labels(endpoint.value, error_kind(error)).inc()

    def count_refusal(self, endpoint: Endpoint, reason: str) -> None:
        """Count a rejection; `reason` is one of a few fixed words."""
        self._refused.labels(endpoint.value, reason).inc()

    def count_refused_connection(self) -> None:
        """Count a connection that was closed before it sent a request to any endpoint."""
        # Both servers share the limit of connections, so there is no endpoint to name.
        self._refused.labels("any", "too_many_connections").inc()


class LiveMetrics:
    """Metrics of live streams only."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._latency = Histogram(
            "whisperlive_final_latency_seconds",
            "Time from receiving the end of an utterance to sending its final text.",
            registry=registry,
            buckets=LATENCY_BUCKETS,
        )
        self._streams = Counter(
            "whisperlive_live_streams",
            "Live streams that have ended, by reason.",
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
            "Audio of these stretches.",
            registry=registry,
        )

    def observe_latency(self, latency_s: float) -> None:
        """Record the latency of a final text."""
        self._latency.observe(latency_s)

    def count_gap(self, seconds: float) -> None:
        """Count a stretch of audio without text."""
        self._gaps.inc()
        self._gap_seconds.inc(seconds)

    def count_end(self, reason: str) -> None:
        """Count a stream that has ended; `reason` is one of a few fixed words."""
        self._streams.labels(reason).inc()


class JobFileMetrics:
    """A `FileObserver` that counts and traces the files of jobs."""

    def __init__(self, metrics: ServerMetrics, tracer: Tracer) -> None:
        self._metrics = metrics
        self._tracer = tracer

    def span(self, job_id: str) -> AbstractContextManager[object]:
        """Open a span around a file."""
        return self._tracer.span("job file", {"whisperlive.job_id": job_id})

    def on_failure(self, error: Exception) -> None:
        """Count a file that failed."""
        self._metrics.count_failure(Endpoint.JOBS, error)

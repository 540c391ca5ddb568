"""All Prometheus metrics of one server process, in a registry of their own."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.openmetrics import exposition as openmetrics

from whisperlive_hybrid.backends.base import Capabilities
from whisperlive_hybrid.telemetry.engine_metrics import EngineMetrics
from whisperlive_hybrid.telemetry.server_metrics import ServerMetrics


@dataclass(frozen=True, slots=True)
class MetricsSnapshot:
    """State of the server at the time of a scrape."""

    queue: Mapping[str, int]
    """Waiting tasks by urgency; every urgency is present."""
    live_lateness_s: float
    live_clients: int
    live_clients_limit: int
    live_capacity: int
    """Live streams that can be served in time, at their current cost."""
    live_load: float
    """Share of the workers' time that the open live streams need."""
    uploads: int
    jobs: Mapping[str, int]
    """By status; every status is present."""
    real_time_factors: Mapping[str, float | None]
    """Of the last minute, by model."""


class SnapshotGauges:
    """The gauges of a snapshot, set at every scrape."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, about: str, *labels: str) -> Gauge:
            return Gauge(f"whisperlive_{name}", about, labels, registry=registry)

        self._queue = gauge("queue_depth", "Tasks that wait for a worker.", "urgency")
        self._late = gauge("live_lateness_seconds", "Lateness of the most overdue live final.")
        self._clients = gauge("live_clients", "Live streams that are open.")
        self._clients_limit = gauge("live_clients_limit", "Live streams that may be open.")
        self._capacity = gauge("live_capacity", "Live streams that can be served in time.")
        self._load = gauge("live_load", "Share of the workers' time that live streams need.")
        self._uploads = gauge("uploads", "Requests with a body in progress.")
        self._jobs = gauge("jobs", "Jobs that are kept, by status.", "status")
        self._factors = gauge(
            "real_time_factor",
            "Model time per second of audio decoded in the last minute; NaN without audio.",
            "model",
        )

    def set(self, snapshot: MetricsSnapshot) -> None:
        """Set all gauges."""
        for urgency, waiting in snapshot.queue.items():
            self._queue.labels(urgency).set(waiting)
        self._late.set(snapshot.live_lateness_s)
        self._clients.set(snapshot.live_clients)
        self._clients_limit.set(snapshot.live_clients_limit)
        self._capacity.set(snapshot.live_capacity)
        self._load.set(snapshot.live_load)
        self._uploads.set(snapshot.uploads)
        for status, number in snapshot.jobs.items():
            self._jobs.labels(status).set(number)
        for model, factor in snapshot.real_time_factors.items():
            self._factors.labels(model).set(math.nan if factor is None else factor)


OPENMETRICS: Final = "application/openmetrics-text"


class Metrics:
    """All metrics; created once per composition root, before the engine."""

    def __init__(self) -> None:
        # Not the global one: two servers in one process must not share metrics.
        self._registry = CollectorRegistry()
        self.engine = EngineMetrics(self._registry)
        self.server = ServerMetrics(self._registry)
        self._gauges = SnapshotGauges(self._registry)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def set_build_info(self, version: str, capabilities: Capabilities) -> None:
        """Add the version and the model as labels of constant gauges; once per process."""
        registry, model = self._registry, capabilities
        build = Gauge("whisperlive_build_info", "The version.", ["version"], registry=registry)
        build.labels(version).set(1)
        info = Gauge(
            "whisperlive_model_info",
            "The model that is always loaded, and its runtime.",
            ["model", "backend", "device", "compute_type"],
            registry=registry,
        )
        info.labels(model.model, model.backend, model.device, model.compute_type).set(1)
        workers = Gauge(
            "whisperlive_workers", "Model calls that may run at once.", registry=registry
        )
        workers.set(model.workers)

    def render(self, snapshot: MetricsSnapshot, accept: str = "") -> tuple[bytes, str]:
        """Return all metrics in a format that the Accept header allows, and its content type."""
        self._gauges.set(snapshot)
        # The library's own choice raises a TypeError for a version that is not a number.
        if OPENMETRICS in accept:
            body: bytes = openmetrics.generate_latest(self._registry)  # type: ignore[no-untyped-call]  # it has no types
            return body, openmetrics.CONTENT_TYPE_LATEST
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4

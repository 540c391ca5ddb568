"""All metrics of one server, in a registry of their own."""

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
from whisperlive_hybrid.telemetry.server_metrics import DoorMetrics


@dataclass(frozen=True, slots=True)
class State:
    """One moment."""

    queue: Mapping[str, int]
    """Pieces of work that wait, by class of urgency; every class is there."""
    live_lateness_s: float
    live_clients: int
    live_clients_limit: int
    live_capacity: int
    """Live streams that can be served within the bounds, by what they cost now."""
    live_load: float
    """Share of the workers' time that the open ones need."""
    uploads: int
    jobs: Mapping[str, int]
    """By status; every status is there."""
    real_time_factors: Mapping[str, float | None]
    """Of the last minute, by model."""


class StateGauges:
    """The gauges of that moment; set when somebody looks."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, about: str, *labels: str) -> Gauge:
            return Gauge(f"whisperlive_{name}", about, labels, registry=registry)

        self._queue = gauge("queue_depth", "Pieces of work that wait for a worker.", "urgency")
        self._late = gauge("live_lateness_seconds", "Lateness of the most overdue live final.")
        self._clients = gauge("live_clients", "Live streams that are open.")
        self._clients_limit = gauge("live_clients_limit", "Live streams that may be open.")
        self._capacity = gauge("live_capacity", "Live streams that can be served in time.")
        self._load = gauge("live_load", "Share of the workers' time that live streams need.")
        self._uploads = gauge("uploads", "Requests with a body that are in work.")
        self._jobs = gauge("jobs", "Jobs that are kept, by status.", "status")
        self._factors = gauge(
            "real_time_factor",
            "Model time per second of audio read, in the last minute; NaN if none was read.",
            "model",
        )

    def show(self, state: State) -> None:
        """Set them all."""
        for urgency, waiting in state.queue.items():
            self._queue.labels(urgency).set(waiting)
        self._late.set(state.live_lateness_s)
        self._clients.set(state.live_clients)
        self._clients_limit.set(state.live_clients_limit)
        self._capacity.set(state.live_capacity)
        self._load.set(state.live_load)
        self._uploads.set(state.uploads)
        for status, number in state.jobs.items():
            self._jobs.labels(status).set(number)
        for model, factor in state.real_time_factors.items():
            self._factors.labels(model).set(math.nan if factor is None else factor)


def show_build(registry: CollectorRegistry, version: str, able: Capabilities) -> None:
    """Tell once what runs here: of value is only what the labels say."""
    build = Gauge("whisperlive_build_info", "The version.", ["version"], registry=registry)
    build.labels(version).set(1)
    model = Gauge(
        "whisperlive_model_info",
        "The model that is always loaded, and its runtime.",
        ["model", "backend", "device", "compute_type"],
        registry=registry,
    )
    model.labels(able.model, able.backend, able.device, able.compute_type).set(1)
    workers = Gauge(
        "whisperlive_workers", "Calls of the model that may run at once.", registry=registry
    )
    workers.set(able.workers)


OPENMETRICS: Final = "application/openmetrics-text"


class Metrics:
    """Made once at a composition root, before the engine."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.engine = EngineMetrics(self._registry)
        self.doors = DoorMetrics(self._registry)
        self._gauges = StateGauges(self._registry)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def show_build(self, version: str, able: Capabilities) -> None:
        """Tell what runs here; once."""
        show_build(self._registry, version, able)

    def written(self, state: State, accept: str = "") -> tuple[bytes, str]:
        """All metrics in the format that suits an Accept header, and its content type."""
        self._gauges.show(state)
        # The library's own choice raises a TypeError for a version that is no number.
        if OPENMETRICS in accept:
            written: bytes = openmetrics.generate_latest(self._registry)  # type: ignore[no-untyped-call]  # it has no types
            return written, openmetrics.CONTENT_TYPE_LATEST
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4

"""What the server looks like at one moment, for /metrics and for pages that draw it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Gauge

from whisperlive_hybrid.backends.base import Capabilities


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

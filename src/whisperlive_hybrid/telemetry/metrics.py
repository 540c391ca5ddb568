"""All metrics of one server, in a registry of their own."""

from typing import Final

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.openmetrics import exposition as openmetrics

from whisperlive_hybrid.backends.base import Capabilities
from whisperlive_hybrid.telemetry.door_metrics import DoorMetrics
from whisperlive_hybrid.telemetry.engine_metrics import EngineMetrics
from whisperlive_hybrid.telemetry.state import State, StateGauges, show_build

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

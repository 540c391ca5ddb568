"""What became of the files of jobs, for the metrics and for traces."""

from contextlib import AbstractContextManager

from whisperlive_hybrid.telemetry.door_metrics import Door, DoorMetrics
from whisperlive_hybrid.telemetry.tracing import Tracer


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

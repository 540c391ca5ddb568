"""For those who watch over the server: /ready, /metrics and /v1/server."""

import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import anyio.to_thread
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from whisperlive_hybrid import __version__
from whisperlive_hybrid.engine.client import EngineClient
from whisperlive_hybrid.jobs.model import Status
from whisperlive_hybrid.model_pool import ModelPool
from whisperlive_hybrid.server.http.body_limits import InFlightRequests
from whisperlive_hybrid.server.http.schemas import StrictModel
from whisperlive_hybrid.telemetry.engine_metrics import urgency_label
from whisperlive_hybrid.telemetry.metrics import Metrics, MetricsSnapshot
from whisperlive_hybrid.telemetry.tracing import NO_TRACER, Tracer
from whisperlive_hybrid.types import Urgency


class Readiness:
    """The checks behind /ready."""

    def __init__(
        self,
        engine: EngineClient,
        *,
        is_draining: Callable[[], bool],
        directories: tuple[Path, ...],
        floor_bytes: int,
    ) -> None:
        """`directories` must each have `floor_bytes` free on their disks."""
        self._engine = engine
        self._is_draining = is_draining
        self._directories = directories
        self._floor_bytes = floor_bytes

    async def checks(self) -> dict[str, bool]:
        """Every check by its name, true where all is well."""
        return {
            "model": self._engine.is_working,
            "queue": not self._engine.is_full,
            "disk": await anyio.to_thread.run_sync(self._has_room),
            "accepting": not self._is_draining(),
        }

    def _has_room(self) -> bool:
        """Blocking: a disk may be at the other end of a network."""
        return all(_free_bytes(each) >= self._floor_bytes for each in self._directories)


def _free_bytes(directory: Path) -> int:
    """0 for a directory that has gone: nothing can be written there."""
    try:
        return shutil.disk_usage(directory).free
    except OSError:
        return 0


def data_directories(data_dir: Path) -> tuple[Path, ...]:
    """Where the server writes: jobs, and uploads while they are read."""
    jobs = data_dir.expanduser().absolute()
    # It may not exist yet where no server has opened it; then its disk is that of its parent.
    existing = next(each for each in (jobs, *jobs.parents) if each.exists())
    return (existing, Path(tempfile.gettempdir()))


class ReadyBody(StrictModel):
    """Whether to send work here."""

    ready: bool
    failing: list[str]
    """The checks that say no."""
    checks: dict[str, bool]


class ModelBody(StrictModel):
    """A model in memory; the real-time factor is null where nothing was read for a minute."""

    name: str
    real_time_factor: float | None


class QueueBody(StrictModel):
    """Pieces of work that wait, by class of urgency."""

    final: int
    update: int
    short_file: int
    bulk: int


class ServerBody(StrictModel):
    """One moment of the server."""

    version: str
    status: Literal["ready", "draining"]
    uptime_s: float
    backend: str
    device: str
    compute_type: str
    workers: int
    models: list[ModelBody]
    queue: QueueBody
    live_clients: int
    live_clients_limit: int
    live_capacity: int
    """Live streams that can be served within the bounds, by what they cost now."""
    live_load: float
    """Share of the workers' time that the open ones need."""
    live_lateness_s: float
    uploads: int
    jobs: dict[str, int]


async def no_jobs() -> Mapping[Status, int]:
    """None of any status."""
    return dict.fromkeys(Status, 0)


@dataclass(frozen=True, slots=True)
class Operation:
    """What those who run the server see of it, and how they stop it."""

    metrics: Metrics = field(default_factory=Metrics)
    tracer: Tracer = NO_TRACER
    count_jobs: Callable[[], Awaitable[Mapping[Status, int]]] = no_jobs
    """Of all callers."""
    work: InFlightRequests = field(default_factory=InFlightRequests)


@dataclass(frozen=True, slots=True)
class Sight:
    """From where the state of the server is seen."""

    engine: EngineClient
    pool: ModelPool
    operation: Operation
    live_clients: Callable[[], int]
    live_clients_limit: int
    since: float = field(default_factory=time.monotonic)

    async def state(self) -> MetricsSnapshot:
        """What there is to see now."""
        waiting = self.engine.waiting
        jobs = await self.operation.count_jobs()
        live = self.engine.live_estimate(self.live_clients_limit)
        return MetricsSnapshot(
            queue={urgency_label(urgency): waiting[urgency] for urgency in Urgency},
            live_lateness_s=self.engine.live_lateness_s,
            live_clients=self.live_clients(),
            live_clients_limit=self.live_clients_limit,
            live_capacity=live.capacity,
            live_load=live.load,
            uploads=self.operation.work.n_requests,
            jobs={status.value: number for status, number in jobs.items()},
            real_time_factors=self.operation.metrics.engine.real_time_factors(self.pool.in_memory),
        )


_READY: Final[dict[int | str, dict[str, Any]]] = {
    200: {"model": ReadyBody},
    503: {"model": ReadyBody, "description": "A check says no; `failing` names it."},
}
_METRICS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "content": {
            "text/plain": {"schema": {"type": "string"}},
            "application/openmetrics-text": {"schema": {"type": "string"}},
        },
        "description": "In the format that Accept prefers.",
    }
}


class StatusRoutes:
    """/ready for balancers, /metrics for Prometheus, /v1/server for pages."""

    def __init__(self, sight: Sight, readiness: Readiness) -> None:
        self._sight = sight
        self._readiness = readiness
        sight.operation.metrics.set_build_info(__version__, sight.engine.capabilities)

    def mount(self, app: FastAPI, *, has_metrics: bool) -> None:
        """Add the routes."""
        app.get("/ready", responses=_READY)(self.ready)
        app.get("/v1/server", responses={200: {"model": ServerBody}})(self.server)
        if has_metrics:
            app.get("/metrics", response_class=Response, responses=_METRICS)(self.written)

    async def ready(self) -> Response:
        """Whether to send work here; /health says whether to let the process live."""
        checks = await self._readiness.checks()
        failing = [name for name, is_well in checks.items() if not is_well]
        body = {"ready": not failing, "failing": failing, "checks": checks}
        return JSONResponse(body, 503 if failing else 200, {"cache-control": "no-store"})

    async def written(self, request: Request) -> Response:
        """The metrics, in the text format of Prometheus or as OpenMetrics."""
        state = await self._sight.state()
        accept = request.headers.get("accept", "")
        body, content_type = self._sight.operation.metrics.render(state, accept)
        return Response(body, headers={"content-type": content_type})

    async def server(self) -> Response:
        """The same moment as JSON, for a page that draws it."""
        state, sight = await self._sight.state(), self._sight
        able = sight.engine.capabilities
        body = ServerBody(
            version=__version__,
            status="draining" if sight.operation.work.is_draining else "ready",
            uptime_s=round(time.monotonic() - sight.since, 1),
            backend=able.backend,
            device=able.device,
            compute_type=able.compute_type,
            workers=able.workers,
            models=[
                ModelBody(name=name, real_time_factor=factor)
                for name, factor in state.real_time_factors.items()
            ],
            queue=QueueBody.model_validate(state.queue),
            live_clients=state.live_clients,
            live_clients_limit=state.live_clients_limit,
            live_capacity=state.live_capacity,
            live_load=round(state.live_load, 3),
            live_lateness_s=round(state.live_lateness_s, 3),
            uploads=state.uploads,
            jobs=dict(state.jobs),
        )
        return JSONResponse(body.model_dump(), headers={"cache-control": "no-store"})


def readiness_of(
    engine: EngineClient, work: InFlightRequests, data_dir: Path, floor_bytes: int
) -> Readiness:
    """Return the checks of a server with this data directory."""
    return Readiness(
        engine,
        is_draining=lambda: work.is_draining,
        directories=data_directories(data_dir),
        floor_bytes=floor_bytes,
    )

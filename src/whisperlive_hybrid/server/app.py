"""The composition root of the server: one engine, two doors, one event loop, one orderly end."""

import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import anyio
import anyio.to_thread
import numpy as np
import structlog
import uvicorn
from anyio.abc import TaskStatus
from starlette.types import ASGIApp

from whisperlive_hybrid.audio.pcm import PcmFormat
from whisperlive_hybrid.auth.authenticator import Authenticator
from whisperlive_hybrid.auth.caller import Limits
from whisperlive_hybrid.auth.keys import KeySource, KeyStore, WrongKeyLimiter
from whisperlive_hybrid.auth.network import TrustedProxies, is_loopback
from whisperlive_hybrid.auth.origins import OriginPolicy
from whisperlive_hybrid.backends.base import Backend, Capabilities
from whisperlive_hybrid.backends.registry import load_backend
from whisperlive_hybrid.backends.silero import SileroVad
from whisperlive_hybrid.config import Settings
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.engine.observer import Observer, Observers
from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.fetch.fetcher import open_fetcher
from whisperlive_hybrid.jobs.app import open_jobs
from whisperlive_hybrid.jobs.progress import RunningJobs
from whisperlive_hybrid.jobs.store.store import open_store
from whisperlive_hybrid.jobs.worker import WorkerContext
from whisperlive_hybrid.live.probe import LiveProbe
from whisperlive_hybrid.media.limits import MediaLimits
from whisperlive_hybrid.media.reader import open_audio
from whisperlive_hybrid.model_pool import MemoryBudget, ModelPool, ModelSpec
from whisperlive_hybrid.models.catalogue import SPELLINGS
from whisperlive_hybrid.models.formats import get_format
from whisperlive_hybrid.models.store import ModelStore, OnProgress, ignore_progress
from whisperlive_hybrid.protocol.live import LiveCodec
from whisperlive_hybrid.protocol.model_names import ModelNames
from whisperlive_hybrid.protocol.whisperlive import WhisperLiveCodec
from whisperlive_hybrid.server.http.app import HttpMeans, HttpOptions, build_http_app
from whisperlive_hybrid.server.http.body_limits import InFlightRequests
from whisperlive_hybrid.server.http.status import Operation
from whisperlive_hybrid.server.http.web_page import PageOptions
from whisperlive_hybrid.server.live.admission import Admission, StreamLimits
from whisperlive_hybrid.server.live.server import WhisperLiveServer
from whisperlive_hybrid.server.live.stream import LiveStreams
from whisperlive_hybrid.server.live.transport import TransportLimits
from whisperlive_hybrid.server.live.websocket import UpgradeCheck
from whisperlive_hybrid.server.net.listener import ConnectionLimiter, LimitedListener, listen
from whisperlive_hybrid.server.net.tls import build_tls_context
from whisperlive_hybrid.server.net.uvicorn import ConnectionTimeouts, HttpConfig
from whisperlive_hybrid.server.process import (
    check_tmpdir,
    max_connections,
    raise_descriptor_limit,
    trim_memory_periodically,
)
from whisperlive_hybrid.speech.regions import live_vad
from whisperlive_hybrid.storage.keys import open_key_database
from whisperlive_hybrid.storage.usage_recorder import open_accounts
from whisperlive_hybrid.telemetry.exporter import open_tracing
from whisperlive_hybrid.telemetry.logging import TextLog
from whisperlive_hybrid.telemetry.metrics import Metrics
from whisperlive_hybrid.telemetry.server_metrics import Endpoint, JobFileMetrics
from whisperlive_hybrid.telemetry.tracing import Tracing
from whisperlive_hybrid.text.endings import live_endings
from whisperlive_hybrid.transcribe import MediaFiles
from whisperlive_hybrid.types import Samples

log = structlog.get_logger(__name__)


def create_authenticator(settings: Settings, keys: KeySource) -> Authenticator:
    """Who stands at both doors.

    Raises `BadRequest` for an `api_key` that is none, or a list of proxies that makes no sense.
    """
    proxies = TrustedProxies.parse(settings.server.trusted_proxies)
    if not settings.auth.auth:
        return Authenticator(proxies=proxies)
    given = settings.auth.api_key
    ring = KeyStore(keys, given.get_secret_value() if given else None)
    at_once = settings.auth.wrong_keys_per_minute
    return Authenticator(
        ring, proxies, WrongKeyLimiter(at_once, time.monotonic) if at_once else None
    )


def warn_about_exposure(settings: Settings, authenticator: Authenticator) -> None:
    """Warn if every client can use the server, or none."""
    if authenticator.keys is None:
        if not is_loopback(settings.server.host):
            log.warning(
                "every client that can reach this address may use the server; "
                "WHISPERLIVE_AUTH=true requires keys",
                host=settings.server.host,
            )
    elif authenticator.keys.is_empty:
        log.warning(
            "WHISPERLIVE_AUTH is on and there is no key yet, so no client can use the server; "
            "create one: whisperlive keys make NAME"
        )


@dataclass(frozen=True, slots=True)
class OpenDoors:
    """Where the server listens, and what answers there."""

    live_port: int
    http_port: int
    model: Capabilities


async def serve(
    backend: Backend,
    settings: Settings,
    on_open: Callable[[OpenDoors], None],
    stop: anyio.Event | None = None,
    *,
    others: Sequence[ModelSpec] = (),
) -> None:
    """Serve until SIGTERM or SIGINT comes, or `stop` is set; then drain and return.

    `backend` is loaded before any door opens, and closed at the end; `others` are the models that
    requests for files may name besides it. Raises `BadRequest` if a port or a directory cannot be
    had or the list of hosts to fetch from makes no sense.
    """
    stop = stop or anyio.Event()
    raise_descriptor_limit()
    check_tmpdir()
    detector = SileroVad()
    room = MemoryBudget(settings.model.models_bytes, settings.model.model_idle_s)
    limits = MediaLimits(max_duration_s=settings.files.max_audio_hours * 3600)
    metrics = Metrics()
    media = MediaFiles(
        partial(open_audio, limits=limits), partial(metrics.server.count_audio, Endpoint.HTTP)
    )
    async with AsyncExitStack() as stack:
        tracing = await stack.enter_async_context(open_tracing(enabled=settings.telemetry.otel))
        observer = _observers(metrics, tracing, settings)
        # First, since it may refuse, and last to go, when nothing writes to it any more.
        store = stack.enter_context(open_store(settings.jobs.data_dir))
        access = stack.enter_context(open_key_database(settings.jobs.data_dir))
        authenticator = create_authenticator(settings, access.keys)
        warn_about_exposure(settings, authenticator)
        origins = origin_policy(settings)
        accounts = await stack.enter_async_context(
            open_accounts(
                settings.jobs.data_dir,
                default_limits(settings),
                settings.quotas.usage_days,
                access.names,
            )
        )
        engine = await stack.enter_async_context(
            Engine(
                backend,
                queue_limit=settings.files.queue_limit,
                live_load=settings.live.live_load,
                observer=observer,
            )
        )
        names = model_names(engine.capabilities.model, others, settings)
        pool = await stack.enter_async_context(ModelPool(engine, detector, others, room, names))
        fetcher = await stack.enter_async_context(
            open_fetcher(settings.fetch, settings.files.max_upload_bytes)
        )
        context = WorkerContext(
            store,
            pool,
            media.with_callback(partial(metrics.server.count_audio, Endpoint.JOBS)),
            fetcher,
            RunningJobs(),
            accounts.quotas,
            maker=authenticator.caller_for,
            observer=JobFileMetrics(metrics.server, tracing.tracer),
        )
        operation = Operation(metrics, tracing.tracer, store.count_by_status)
        check = UpgradeCheck(authenticator, origins.for_live(settings.server.host), metrics.server)
        probe = LiveProbe(engine, await anyio.to_thread.run_sync(_sample_speech))
        admission = Admission(
            engine,
            pool,
            accounts.quotas,
            stream_limits(settings),
            refresh_costs=probe.refresh,
            is_revoked=authenticator.is_revoked,
        )
        streams = LiveStreams(
            admission,
            detector,
            accounts.quotas,
            live_endings(settings.live.live_patience_s),
            metrics.server,
            tracing.tracer,
            update_interval=lambda: engine.update_interval_s,
        )
        live = WhisperLiveServer(
            streams,
            check,
            whisperlive_codec(settings),
            TransportLimits(ping_s=settings.live.ping_s),
            build_tls_context(settings.live),
        )
        jobs = await open_jobs(context, settings.jobs)
        app = build_http_app(
            HttpMeans(
                engine,
                pool,
                http_options(settings, origins),
                live,
                media,
                fetcher,
                jobs.service_for,
                accounts,
                authenticator,
                operation,
            )
        )
        http = HttpDoor(app, settings, drain_s=settings.server.drain_s)
        limiter = ConnectionLimiter(
            settings.server.connections_per_address,
            max_connections(settings.live.max_clients, settings.files.max_uploads),
            authenticator.proxies.trusts,
            on_refusal=metrics.server.count_refused_connection,
        )
        http_port = http.bind(settings, limiter)
        async with (
            _live_port(live, settings, limiter) as live_port,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(http.run)
            tasks.start_soon(pool.run)
            tasks.start_soon(jobs.run)
            tasks.start_soon(accounts.recorder.run)
            tasks.start_soon(admission.close_revoked)
            tasks.start_soon(trim_memory_periodically)
            tasks.start_soon(probe.run)
            await tasks.start(_stop_on_signal, stop)
            on_open(OpenDoors(live_port, http_port, engine.capabilities))
            await stop.wait()
            jobs.close()
            await _drain(engine, admission, operation.work, http, settings.server.drain_s)
            tasks.cancel_scope.cancel()


def default_limits(settings: Settings) -> Limits:
    """Return the limits of callers that have none of their own."""
    quotas = settings.quotas
    return Limits(quotas.requests_per_minute, quotas.audio_s_per_day, quotas.streams_per_caller)


def origin_policy(settings: Settings) -> OriginPolicy:
    """Return the policy of the HTTP server; raise `BadRequest` for an invalid list."""
    server = settings.server
    ports = frozenset({server.http_port, server.live_port})
    return OriginPolicy.for_http(server.host, server.allowed_origins, server.allowed_hosts, ports)


def http_options(settings: Settings, origins: OriginPolicy) -> HttpOptions:
    """Return the limits and options of the HTTP server."""
    page = PageOptions(
        live_url=settings.server.live_url,
        has_live_tls=settings.live.ssl,
        max_upload_bytes=settings.files.max_upload_bytes,
        max_files=settings.jobs.job_files,
        max_connection_s=settings.live.max_connection_s,
        fetches_urls=settings.fetch.fetch,
    )
    return HttpOptions(
        origins=origins,
        page=page,
        data_dir=settings.jobs.data_dir,
        min_free_bytes=settings.telemetry.min_free_bytes,
        min_bytes_per_s=settings.server.min_bytes_per_s,
        upload_s=settings.server.upload_s,
        max_uploads=settings.files.max_uploads,
        max_clients=settings.live.max_clients,
        has_metrics=settings.telemetry.metrics,
    )


def stream_limits(settings: Settings) -> StreamLimits:
    """Return the bounds of live streams."""
    return StreamLimits(
        settings.live.max_clients,
        settings.live.max_connection_s,
        settings.live.idle_s,
        settings.live.ping_s,
    )


def whisperlive_codec(settings: Settings) -> Callable[[], LiveCodec]:
    """Return what makes the codec of each WhisperLive connection."""
    audio_format = PcmFormat.INT16 if settings.live.raw_pcm_input else None
    return partial(WhisperLiveCodec, live_vad(settings.live.live_endpoint_s), audio_format)


def model_names(first: str, others: Sequence[ModelSpec], settings: Settings) -> ModelNames:
    """Return which names requests may use, and what they mean."""
    offered = tuple(model.name for model in others)
    return ModelNames(first, offered, SPELLINGS, settings.model.strict_models)


def models_on_demand(
    settings: Settings, on_progress: OnProgress = ignore_progress
) -> list[ModelSpec]:
    """Find the models besides the first, which are loaded when a request names them.

    The operator's list is found or downloaded now; without one, these are the known models on this
    machine that fit into the budget. Raises `ModelUnavailable` for one of the list that cannot be
    had.
    """
    form = get_format(settings.model.backend)
    store = ModelStore(settings.model.models_dir)
    if settings.model.models:
        names = settings.model.models_on_demand
        found = [store.get(name, form, on_progress=on_progress) for name in names]
    elif settings.model.backend == "fake":
        return []
    else:
        # A model named by its path is called as its directory, like one of the same name here.
        own = (
            Path(settings.model.model).name
            if Path(settings.model.model).is_absolute()
            else settings.model.model
        )
        first = SPELLINGS.get(own.lower(), own)
        names = tuple(
            model.name
            for model in store.list_local()
            if model.form is form and model.name in SPELLINGS and model.name != first
        )
        local = [store.find(name, form) for name in names]
        found = [files for files in local if files and files.size <= settings.model.models_bytes]
    return [
        ModelSpec(files.name, files.size, partial(load_backend, settings.model, files))
        for files in found
    ]


def _sample_speech() -> Samples:
    """Return the samples of the English clip that ships with the package."""
    clip = files("whisperlive_hybrid") / "assets" / "samples" / "en.flac"
    with open_audio(BytesIO(clip.read_bytes())) as audio:
        samples: Samples = np.concatenate(list(audio.blocks()))
        return samples


def _observers(metrics: Metrics, tracing: Tracing, settings: Settings) -> Observer:
    """Return the receivers of the engine's events."""
    texts = [TextLog()] if settings.telemetry.log_text else []
    return Observers([metrics.engine, *tracing.observers, *texts])


async def _drain(
    engine: Engine, admission: Admission, work: InFlightRequests, http: "HttpDoor", drain_s: float
) -> None:
    """Take no new work; let live clients and requests in flight finish, within the bound.

    Until those are done the HTTP door stays open, so that a balancer reads at /ready that nothing
    more is to be sent here, and who asks for the state of a job is answered.
    """
    log.info("draining", at_most_s=drain_s)
    with anyio.move_on_after(drain_s):
        async with anyio.create_task_group() as doors:
            doors.start_soon(work.drain)
            doors.start_soon(admission.drain, drain_s)
        http.stop()
        await http.has_stopped.wait()
    http.stop()
    await engine.drain(0)
    log.info("stopped")


class HttpDoor:
    """uvicorn on a socket of ours, without signal handlers of its own."""

    def __init__(self, app: ASGIApp, settings: Settings, *, drain_s: float) -> None:
        timeouts = ConnectionTimeouts(settings.server.head_s, settings.server.min_bytes_per_s)
        self._server = _SignalFreeServer(HttpConfig(app, timeouts, drain_s=drain_s))
        self._socket: LimitedListener | None = None
        self.has_stopped = anyio.Event()

    def bind(self, settings: Settings, limiter: ConnectionLimiter) -> int:
        """Begin to listen; return the port. Raises `BadRequest` if it cannot be had."""
        with _translate_port_errors("HTTP_PORT", settings.server.http_port, settings.server.host):
            self._socket = listen(settings.server.host, settings.server.http_port, limiter)
        port: int = self._socket.getsockname()[1]
        return port

    async def run(self) -> None:
        """Serve until `stop`, then until the requests in flight are done."""
        await self._server.serve([self._socket] if self._socket else None)
        self.has_stopped.set()

    def stop(self) -> None:
        """Accept nothing more."""
        self._server.should_exit = True


class _SignalFreeServer(uvicorn.Server):
    """Leaves signals to the composition root, which drains both doors."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


@asynccontextmanager
async def _live_port(
    live: WhisperLiveServer, settings: Settings, limiter: ConnectionLimiter
) -> AsyncIterator[int]:
    """Listen on the live door's port while inside."""
    with _translate_port_errors(
        "PORT_WHISPERLIVE", settings.server.live_port, settings.server.host
    ):
        listener = listen(
            settings.server.host, settings.server.live_port, limiter, speaks_tls=settings.live.ssl
        )
    port: int = listener.getsockname()[1]
    with listener:
        async with live.listening(listener):
            yield port


@contextmanager
def _translate_port_errors(setting: str, port: int, host: str) -> Iterator[None]:
    """Turn a refused port, or a host that has no address, into one clear line."""
    try:
        yield
    except (socket.gaierror, UnicodeError) as error:
        # Python finds some names too long, or empty between two dots, before any resolver does.
        why = error.strerror if isinstance(error, OSError) else "It is no name of a host"
        raise BadRequest(f"Cannot listen on WHISPERLIVE_HOST={host!r}: {why}.") from error
    except OSError as error:
        # asyncio and the socket module each wrap the system's words in their own.
        reason = os.strerror(error.errno) if error.errno else error.strerror or error
        raise BadRequest(f"Cannot listen on {setting}={port}: {reason}.") from error


async def _stop_on_signal(stop: anyio.Event, *, task_status: TaskStatus[None]) -> None:
    """Started, once no signal can end the process in any other way."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for _ in signals:
            stop.set()

"""The HTTP server with the fake backend, in-process and on a real port."""

import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import anyio
import pytest
import uvicorn
from fake_keys import NO_KEYS
from fastapi import FastAPI
from job_fixtures import Network
from wav_files import open_wav, write_wav

from whisperlive_hybrid.auth.keys import KeySource
from whisperlive_hybrid.backends.base import Backend
from whisperlive_hybrid.backends.ctranslate2 import Ct2Backend
from whisperlive_hybrid.backends.fake import EnergyVad, FakeBackend
from whisperlive_hybrid.backends.silero import SileroVad
from whisperlive_hybrid.config import Settings, load_settings
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.fetch.fetcher import open_fetcher
from whisperlive_hybrid.jobs.app import open_jobs
from whisperlive_hybrid.jobs.progress import RunningJobs
from whisperlive_hybrid.jobs.store.store import open_store
from whisperlive_hybrid.jobs.worker import WorkerContext
from whisperlive_hybrid.media.reader import open_audio
from whisperlive_hybrid.model_pool import MemoryBudget, ModelPool, ModelSpec
from whisperlive_hybrid.models.files import demo_model
from whisperlive_hybrid.server.app import (
    create_authenticator,
    default_limits,
    http_options,
    model_names,
    origin_policy,
)
from whisperlive_hybrid.server.http.app import HttpMeans, build_http_app
from whisperlive_hybrid.server.http.status import Operation
from whisperlive_hybrid.server.net.uvicorn import ConnectionTimeouts, HttpConfig
from whisperlive_hybrid.storage.usage_recorder import open_accounts
from whisperlive_hybrid.telemetry.metrics import Metrics
from whisperlive_hybrid.transcribe import MediaFiles, OpenMedia
from whisperlive_hybrid.types import Samples


@dataclass(frozen=True)
class LiveDoorOf:
    """A live server with so many clients, for a server that has none."""

    n_clients: int
    port: int = 5050


class OpenApp(Protocol):
    """Runs an engine and the application around it."""

    def __call__(
        self,
        backend: Backend | None = None,
        *,
        media: OpenMedia = open_wav,
        queue_limit: int = 256,
        others: Sequence[ModelSpec] = (),
        max_uploads: int = 64,
        settings: Mapping[str, object] | None = None,
        keys: KeySource = NO_KEYS,
    ) -> AbstractAsyncContextManager[tuple[FastAPI, Engine]]:
        """Enter it for the application and its engine."""


@asynccontextmanager
async def run_app(
    engine: Engine,
    pool: ModelPool,
    media: MediaFiles,
    settings: Settings,
    keys: KeySource = NO_KEYS,
    metrics: Metrics | None = None,
) -> AsyncIterator[FastAPI]:
    """The application with 3 live clients, and jobs and accounts in a directory of their own.

    Recordings are fetched without TLS: reading authorities takes 90 ms. Jobs have a network that is
    not there.
    """
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory()))
        store = stack.enter_context(open_store(directory))
        accounts = await stack.enter_async_context(
            open_accounts(directory, default_limits(settings), settings.quotas.usage_days)
        )
        no_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        fetcher = await stack.enter_async_context(
            open_fetcher(settings.fetch, settings.files.max_upload_bytes, tls=no_tls)
        )
        context = WorkerContext(store, pool, media, Network(), RunningJobs(), accounts.quotas)
        jobs = await open_jobs(context, settings.jobs)
        tasks = await stack.enter_async_context(anyio.create_task_group())
        tasks.start_soon(jobs.run)
        yield build_http_app(
            HttpMeans(
                engine,
                pool,
                http_options(settings, origin_policy(settings)),
                LiveDoorOf(n_clients=3),
                media,
                fetcher,
                jobs.service_for,
                accounts,
                create_authenticator(settings, keys),
                Operation(metrics or Metrics(), count_jobs=store.count_by_status),
            )
        )
        jobs.close()


@asynccontextmanager
async def open_app(
    backend: Backend | None = None,
    *,
    media: OpenMedia = open_wav,
    queue_limit: int = 256,
    others: Sequence[ModelSpec] = (),
    max_uploads: int = 64,
    settings: Mapping[str, object] | None = None,
    keys: KeySource = NO_KEYS,
) -> AsyncIterator[tuple[FastAPI, Engine]]:
    """Uploads of at most 1 MiB; room for 1000 bytes of models on demand.

    Recordings are fetched from 127.0.0.1.
    """
    given = {"max_upload_mb": 1, "max_uploads": max_uploads, "fetch_allow": "127.0.0.1"}
    wanted = load_settings(**{**given, **(settings or {})})
    metrics = Metrics()
    backend = backend or FakeBackend()
    names = model_names(backend.capabilities.model, others, wanted)
    async with (
        Engine(backend, queue_limit=queue_limit, observer=metrics.engine) as engine,
        ModelPool(engine, EnergyVad(), others, MemoryBudget(bytes=1000, idle_s=60), names) as pool,
        run_app(engine, pool, MediaFiles(media), wanted, keys, metrics) as app,
    ):
        yield app, engine


@pytest.fixture
def anyio_backend() -> str:
    """The engine answers through asyncio futures."""
    return "asyncio"


@pytest.fixture(name="open_app")
def _open_app() -> OpenApp:
    return open_app


@pytest.fixture(name="write_wav", scope="session")
def _write_wav() -> Callable[[Samples], bytes]:
    return write_wav


class Serve(Protocol):
    """Runs a server on a real port."""

    def __call__(
        self,
        backend: FakeBackend | None = None,
        *,
        media: OpenMedia = open_wav,
        queue_limit: int = 256,
        max_uploads: int = 64,
        settings: Mapping[str, object] | None = None,
    ) -> AbstractContextManager[str]:
        """Enter it for the address."""


@contextmanager
def on_port(http: AbstractAsyncContextManager[tuple[FastAPI, Engine]]) -> Iterator[str]:
    """Serve an application with uvicorn in a thread; yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        servers: list[uvicorn.Server] = []

        async def run() -> None:
            async with http as (app, _):
                config = HttpConfig(
                    app, ConnectionTimeouts(head_s=10, min_bytes_per_s=1024), drain_s=30
                )
                servers.append(uvicorn.Server(config))
                is_made.set()
                await servers[0].serve([listener])

        is_made = threading.Event()
        thread = threading.Thread(target=anyio.run, args=[run])
        thread.start()
        is_made.wait()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            servers[0].should_exit = True
            thread.join()


def serve(backend: FakeBackend | None = None, **options: Any) -> AbstractContextManager[str]:  # noqa: ANN401 (those of `open_app`)
    """Serve the fake backend."""
    return on_port(open_app(backend, **options))


@asynccontextmanager
async def open_speech_app() -> AsyncIterator[tuple[FastAPI, Engine]]:
    """Open the application of a server with the demo model."""
    settings = load_settings(max_upload_mb=8, fetch=False)
    async with (
        Engine(Ct2Backend(demo_model(), device="cpu", workers=2)) as engine,
        ModelPool(engine, SileroVad(), (), MemoryBudget(bytes=1000, idle_s=60)) as pool,
        run_app(engine, pool, MediaFiles(open_audio), settings) as app,
    ):
        yield app, engine


@pytest.fixture(scope="package")
def speech_server() -> Iterator[str]:
    """The address of a real server with the demo model; uploads of at most 8 MiB."""
    with on_port(open_speech_app()) as address:
        yield address


@pytest.fixture(name="serve", scope="session")
def _serve() -> Serve:
    return serve


@pytest.fixture
def served() -> Iterator[str]:
    """The address of a real server."""
    with serve() as address:
        yield address

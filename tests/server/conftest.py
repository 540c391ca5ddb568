"""The HTTP door around the fake backend, in-process and on a real port."""

import io
import socket
import threading
import wave
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import anyio
import numpy as np
import pytest
import uvicorn
from fastapi import FastAPI

from whisperlive_hybrid.backends.fake import EnergyVad, FakeBackend
from whisperlive_hybrid.config import Settings
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.errors import BadAudio
from whisperlive_hybrid.model_pool import ModelPool, OnDemand, Room
from whisperlive_hybrid.server.http.app import build_http_app
from whisperlive_hybrid.server.http.recording import OpenMedia
from whisperlive_hybrid.types import SAMPLE_RATE, Samples


@dataclass(frozen=True)
class WavReader:
    """A recording that is 16 kHz mono s16 already, so that nothing needs decoding."""

    samples: Samples

    @property
    def duration_s(self) -> float | None:
        """What the header says."""
        return len(self.samples) / SAMPLE_RATE

    def blocks(self) -> Iterator[Samples]:
        """Half a second at a time."""
        yield from np.split(self.samples, range(8000, len(self.samples), 8000))


@contextmanager
def open_wav(file: BinaryIO) -> Iterator[WavReader]:
    """Stand in for the media decoder."""
    try:
        with wave.open(file, "rb") as reader:
            pcm = np.frombuffer(reader.readframes(reader.getnframes()), np.int16)
    except (wave.Error, EOFError) as error:
        raise BadAudio("The audio file could not be decoded.") from error
    yield WavReader(pcm.astype(np.float32) / np.float32(32768))


def write_wav(samples: Samples) -> bytes:
    """Put samples into a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        writer.writeframes((samples * 32768).round().astype(np.int16).tobytes())
    return file.getvalue()


class OpenDoor(Protocol):
    """Runs an engine and the application around it."""

    def __call__(
        self,
        backend: FakeBackend | None = None,
        *,
        media: OpenMedia = open_wav,
        queue_limit: int = 256,
        others: Sequence[OnDemand] = (),
    ) -> AbstractAsyncContextManager[tuple[FastAPI, Engine]]:
        """Enter it for the application and its engine."""


@asynccontextmanager
async def open_door(
    backend: FakeBackend | None = None,
    *,
    media: OpenMedia = open_wav,
    queue_limit: int = 256,
    others: Sequence[OnDemand] = (),
) -> AsyncIterator[tuple[FastAPI, Engine]]:
    """Uploads of at most 1 MiB; 3 live clients; room for 1000 bytes of models on demand."""
    async with (
        Engine(backend or FakeBackend(), queue_limit=queue_limit) as engine,
        ModelPool(engine, EnergyVad(), others, Room(bytes=1000, idle_s=60)) as pool,
    ):
        app = build_http_app(
            engine,
            pool,
            Settings(max_upload_mb=1),
            live_clients=lambda: 3,
            open_media=media,
        )
        yield app, engine


@pytest.fixture
def anyio_backend() -> str:
    """The engine answers through asyncio futures."""
    return "asyncio"


@pytest.fixture(name="open_door")
def _open_door() -> OpenDoor:
    return open_door


@pytest.fixture(name="write_wav")
def _write_wav() -> Callable[[Samples], bytes]:
    return write_wav


@pytest.fixture
def served() -> Iterator[str]:
    """The address of a real server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        servers: list[uvicorn.Server] = []

        async def serve() -> None:
            async with open_door() as (app, _):
                config = uvicorn.Config(app, lifespan="off", ws="none", log_level="warning")
                servers.append(uvicorn.Server(config))
                is_made.set()
                await servers[0].serve([listener])

        is_made = threading.Event()
        thread = threading.Thread(target=anyio.run, args=[serve])
        thread.start()
        is_made.wait()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        servers[0].should_exit = True
        thread.join()

"""The jobs part of a server, with the fake backend and a fake network."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import anyio
import numpy as np
from wav_files import open_wav, write_wav

from whisperlive_hybrid.auth.caller import Caller
from whisperlive_hybrid.auth.quotas import Quotas
from whisperlive_hybrid.backends.base import Backend
from whisperlive_hybrid.backends.fake import EnergyVad, FakeBackend, pause, speak
from whisperlive_hybrid.config import load_settings
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.errors import BadRequest, WhisperLiveError
from whisperlive_hybrid.jobs.app import open_jobs
from whisperlive_hybrid.jobs.model import Job, JobRequest
from whisperlive_hybrid.jobs.progress import RunningJobs
from whisperlive_hybrid.jobs.service import JobService, UploadedFile
from whisperlive_hybrid.jobs.store.store import JobStore, open_store
from whisperlive_hybrid.jobs.worker import WorkerContext
from whisperlive_hybrid.model_pool import MemoryBudget, ModelPool
from whisperlive_hybrid.protocol.openai.request import AudioRequest
from whisperlive_hybrid.server.app import default_limits
from whisperlive_hybrid.speech.regions import VadOptions
from whisperlive_hybrid.transcribe import MediaFiles, OpenMedia
from whisperlive_hybrid.types import DecodeOptions

CALLER = Caller("192.0.2.1")

SECRET = "whsec_c2VjcmV0LW9mLXRoaXMtdGVzdA=="  # noqa: S105 (opens nothing)


@dataclass(frozen=True)
class FoundFile:
    """A file behind a URL."""

    filename: str


@dataclass
class Network:
    """Serves `files` by URL, and answers webhooks with the next of `statuses`, then 200."""

    files: dict[str, bytes] = field(default_factory=dict)
    statuses: list[int | WhisperLiveError] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    posted: list[tuple[str, bytes, Mapping[str, str]]] = field(default_factory=list)

    def check(self, url: str) -> None:
        """Raise `BadRequest` for anything but an https URL."""
        if not url.startswith("https://"):
            raise BadRequest(f"{url!r} is no URL.", param="url")

    async def download(self, url: str, into: BinaryIO) -> FoundFile:
        """Write the file of a URL."""
        self.asked.append(url)
        if url not in self.files:
            raise BadRequest("The server at example answered 404.", param="url")
        into.write(self.files[url])
        return FoundFile(url.rpartition("/")[2])

    async def post(self, url: str, content: bytes, headers: Mapping[str, str]) -> int:
        """Record a webhook and return its status."""
        self.posted.append((url, content, headers))
        answer = self.statuses.pop(0) if self.statuses else 200
        if isinstance(answer, WhisperLiveError):
            raise answer
        return answer


class Clock:
    """A clock in Unix seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@dataclass
class JobServer:
    """The jobs of a server from its start to its end."""

    quotas: Quotas
    service: JobService
    close: Callable[[], None]
    store: JobStore
    directory: Path

    @property
    def spooled(self) -> list[str]:
        """The files in the spool."""
        return [file.name for file in (self.directory / "spool").iterdir()]

    async def wait_for_end(self, job: Job) -> Job:
        """Wait for the end of a job."""
        async with self.service.watch(job.id) as watch:
            while news := await watch.next():
                if news.is_last:
                    return news.job
        raise AssertionError("the server stopped before the job ended")


@asynccontextmanager
async def run_job_server(
    directory: Path,
    backend: Backend | None = None,
    *,
    media: OpenMedia = open_wav,
    network: Network | None = None,
    clock: Clock | None = None,
    settings: Mapping[str, object] | None = None,
) -> AsyncIterator[JobServer]:
    """Run the jobs of a server while inside; on exit they stop as in an orderly shutdown."""
    wanted = load_settings(**{"webhook_secret": SECRET, **(settings or {})})
    with open_store(directory) as store:
        async with (
            Engine(backend or FakeBackend()) as engine,
            ModelPool(engine, EnergyVad(), (), MemoryBudget(0, 60)) as pool,
        ):
            tell_time = clock or Clock()
            context = WorkerContext(
                store=store,
                models=pool,
                media=MediaFiles(media),
                fetcher=network or Network(),
                running=RunningJobs(),
                quotas=Quotas(default_limits(wanted), tell_time),
                clock=tell_time,
            )
            jobs = await open_jobs(context, wanted.jobs)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(jobs.run)
                yield JobServer(
                    context.quotas, jobs.service_for(CALLER), jobs.close, store, directory
                )
                jobs.close()


def spoken_wav(*words: int) -> bytes:
    """Return a WAV file in which each word is a separate utterance, hence a window."""
    return write_wav(np.concatenate([part for n in words for part in (pause(1.0), speak([n]))]))


def uploaded_files(*files: bytes) -> list[UploadedFile]:
    """Return files as the HTTP server submits them."""
    return [UploadedFile(f"{n}.wav", BytesIO(file), len(file)) for n, file in enumerate(files)]


def job_request(
    *urls: str, language: str | None = "en", words: bool = False, webhook: str | None = None
) -> JobRequest:
    """Return a request for jobs."""
    options = DecodeOptions(language=language, words=words)
    # Pauses of a second end a window, so that each word has a separate one.
    vad = VadOptions(min_silence_s=0.4, post_roll_s=0.2)
    return JobRequest(AudioRequest(options, vad, model="fake"), urls, webhook)


def expected_text(words: Sequence[int]) -> str:
    """Return the text of words of the fake backend."""
    return " ".join(f"w{n}" for n in words)

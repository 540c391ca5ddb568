"""Runs jobs in the order of their submission, each under a lease, until it is told to stop."""

import time
import uuid
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Final, Protocol

import anyio
import structlog

from whisperlive_hybrid.auth.caller import Caller
from whisperlive_hybrid.auth.quotas import Quotas, UsageMeter
from whisperlive_hybrid.errors import Overloaded, WhisperLiveError, error_kind
from whisperlive_hybrid.jobs.model import Fetcher, Job, JobSource, Result, Status
from whisperlive_hybrid.jobs.progress import RunningJob, RunningJobs
from whisperlive_hybrid.jobs.store.checkpoints import SourceCheckpoint
from whisperlive_hybrid.jobs.store.store import JobStore
from whisperlive_hybrid.jobs.webhooks import create_delivery
from whisperlive_hybrid.protocol.errors import ErrorInfo
from whisperlive_hybrid.protocol.model_names import ModelNames
from whisperlive_hybrid.protocol.openai.request import measure_words
from whisperlive_hybrid.text.formats import tail
from whisperlive_hybrid.transcribe import FileRequest, MediaFiles, Transcriber, WindowDone
from whisperlive_hybrid.types import Urgency, join_text

PROGRESS_STORED_S: Final = 1.0
"""How often the progress of a file goes into the store: for other servers, and the next start."""

log = structlog.get_logger(__name__)


class Models(Protocol):
    """The models of this server."""

    @property
    def names(self) -> ModelNames:
        """What they are called."""

    def lease(self, name: str, account: str) -> AbstractAsyncContextManager[Transcriber]:
        """A transcriber whose model stays while inside; raises `Overloaded`."""


def keyless(account: str) -> Caller:
    """Whoever an account stands for, where nobody knows keys."""
    return Caller.from_account(account, None)


class FileObserver(Protocol):
    """Whoever measures jobs."""

    def reading(self, job_id: str) -> AbstractContextManager[object]:
        """Entered around the reading of every file."""

    def failed(self, error: Exception) -> None:
        """A file cannot be read."""


class _Nobody:
    """Measures nothing."""

    def reading(self, job_id: str) -> AbstractContextManager[object]:
        """Let it pass."""
        del job_id
        return nullcontext()

    def failed(self, error: Exception) -> None:
        """Let it pass."""


NOBODY: Final[FileObserver] = _Nobody()
"""For jobs that nobody watches."""


@dataclass(frozen=True, slots=True)
class Means:
    """What it takes to run a job."""

    store: JobStore
    models: Models
    media: MediaFiles
    fetcher: Fetcher
    board: RunningJobs
    quotas: Quotas
    """What is read of a job is booked here on whoever handed it in."""
    maker: Callable[[str], Caller] = keyless
    """Whoever an account stands for."""
    clock: Callable[[], float] = time.time
    """Unix seconds."""
    observer: FileObserver = NOBODY


class JobRun:
    """Reads the files of one job, one after another."""

    def __init__(self, live: RunningJob, means: Means) -> None:
        self._live = live
        self._means = means

    async def run(self) -> Job:
        """Read what is left to read; return the job with all its files ended.

        Neither a file that cannot be read nor a crowded engine ends the job before its time.
        """
        languages: list[str] = []
        texts: list[str] = []
        for number in range(len(self._live.job.sources)):
            self._live.start_file()
            if result := await self._ended(self._live.job.sources[number]):
                languages.append(result.language)
                texts.append(join_text(result.segments))
        job = self._live.job
        return replace(job, status=job.outcome).with_transcripts(texts, languages)

    async def _ended(self, source: JobSource) -> Result | None:
        """See a file to its end; its result, unless it has failed, now or in an earlier run."""
        if source.status.is_finished:
            result = await self._means.store.get_result(source)
            self._live.add_text(join_text(result.segments) if result else "")
            return result
        has_begun = source.status is Status.RUNNING  # by an earlier process: it is read to its end
        source = replace(source, status=Status.RUNNING)
        await self._means.store.set_source(source)
        reading = _SourceRun(source, self._live, self._means)
        reading.show(source)
        try:
            if not has_begun:
                self._means.quotas.check_audio(self._means.maker(self._live.job.account))
            with self._means.observer.reading(self._live.job.id):
                result = await reading.result()
        except Exception as error:  # fails the one file that it belongs to
            self._means.observer.failed(error)
            if isinstance(error, WhisperLiveError):
                log.warning("a file of a job failed", file=source.index, reason=error_kind(error))
            else:
                log.exception("a file of a job failed", file=source.index)
            await reading.end(Status.FAILED, None, ErrorInfo.of(error))
            return None
        await reading.end(Status.COMPLETED, result, None)
        return result


class _SourceRun:
    """One file of a job on its way through the model."""

    def __init__(self, source: JobSource, live: RunningJob, means: Means) -> None:
        self._source = source
        self._live = live
        self._means = means
        self._booking: UsageMeter | None = None
        self._n_shown = 0  # windows: after a pause for a full engine, all of them come again
        self._stored_at = means.clock()

    def show(self, source: JobSource) -> None:
        """Take a new state, and tell the watchers."""
        self._source = source
        self._live.update_source(source)
        self._means.board.notify(self._live.job.id)

    async def end(self, status: Status, result: Result | None, failure: ErrorInfo | None) -> None:
        """Store what became of it."""
        length = result.duration if result else None
        source = replace(self._source, status=status, failure=failure)
        if length is not None:
            source = replace(source, done=length, total=length)
        await self._means.store.end_source(source, result)
        self.show(source)

    async def result(self) -> Result:
        """Read it; wait and try again while the engine has no room. Windows are read only once."""
        while True:
            try:
                return await self._read()
            except Overloaded as busy:
                await anyio.sleep(busy.retry_after_s)

    async def _read(self) -> Result:
        await self._fetch()
        job, store = self._live.job, self._means.store
        memory = await store.load_checkpoint(self._source)
        booking = self._booking_after(memory)
        audio = job.request.audio
        try:
            with await store.open_source(self._source) as file:
                async with (
                    self._means.models.lease(audio.model, job.account) as transcriber,
                    self._means.media.open(file, audio_track=audio.audio_track) as recording,
                ):
                    self.show(replace(self._source, total=recording.claimed_s))
                    # The format is chosen with the result, which may be one with times.
                    is_able = transcriber.capabilities.word_times
                    options = measure_words(audio.options, is_able=is_able)
                    request = FileRequest(options, audio.vad, Urgency.BULK)
                    blocks = recording.blocks()
                    async with transcriber.stream(blocks, request, memory) as transcription:
                        n_windows = 0
                        async for update in transcription:
                            n_windows += 1
                            booking.count_to(update.done)
                            if n_windows > self._n_shown:
                                self._n_shown = n_windows
                                await self._advance(update)
        finally:
            booking.count_to(memory.read_to)  # also what was decoded out of its turn before a stop
        transcript = transcription.transcript
        booking.count_to(transcript.duration)
        log.info(
            "read a file of a job",
            file=self._source.index,
            windows_read=memory.kept,
            windows_recalled=memory.recalled,
        )
        language, duration = transcript.language.code, transcript.duration
        return Result(transcript.segments, language, duration, transcript.unread)

    def _booking_after(self, memory: SourceCheckpoint) -> UsageMeter:
        """Of this run; what an earlier process has read, it has booked as well."""
        if self._booking is None:
            done = max(self._source.done, memory.read_to)
            self._booking = UsageMeter(self._means.quotas, self._live.job.account, done)
        return self._booking

    async def _advance(self, update: WindowDone) -> None:
        self._live.add_text(update.text)
        self.show(replace(self._source, done=max(self._source.done, update.done)))
        if self._means.clock() - self._stored_at >= PROGRESS_STORED_S:
            self._stored_at = self._means.clock()
            await self._means.store.set_source(self._source)
            await self._means.store.set_text(self._live.job, tail(self._live.job.text))

    async def _fetch(self) -> None:
        """Download what is behind a URL, unless that was done before."""
        store, source = self._means.store, self._source
        if source.url is None or await store.has_file(source.spooled):
            return
        async with store.spool_download(source.spooled) as file:
            found = await self._means.fetcher.download(source.url, file)
        self.show(replace(source, name=found.filename or source.name))
        await store.set_source(self._source)


LEASE_S: Final = 60.0
"""How long a job stays ours without a sign of life."""

RENEWED_S: Final = 20.0
"""How often the sign is given: two may be late."""


class Runner:
    """Takes jobs from the store and sees them to their end."""

    def __init__(self, means: Means, kept_s: float) -> None:
        """Jobs are kept `kept_s` after their end."""
        self._means = means
        self._kept_s = kept_s
        self._owner = uuid.uuid4().hex

    async def run(self) -> None:
        """Run one job after another; to be run as a task, once for each job at a time.

        When it is cancelled, the job that runs stays as it is in the store, to be gone on with. So
        it does when this raises, for a defect or a disk that is full; its lease must run out first.
        """
        while True:
            changed = self._means.board.arrived.next()
            job = await self._take()
            if job is not None:
                with structlog.contextvars.bound_contextvars(job_id=job.id):
                    await self._watched(job)
                continue
            with anyio.move_on_after(LEASE_S):  # nobody rings when a lease has run out
                await changed.wait()

    async def _take(self) -> Job | None:
        now, names = self._means.clock(), self._means.models.names
        offered = (names.first, *names.others)
        return await self._means.store.take(self._owner, offered, now, now + LEASE_S)

    async def _watched(self, job: Job) -> None:
        """Run a job where everybody can see it and whoever may can stop it."""
        live = self._means.board.running[job.id] = RunningJob(job)
        try:
            with live.scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._keep, live)
                    await self._end(live, await JobRun(live, self._means).run())
                    tasks.cancel_scope.cancel()
        finally:
            del self._means.board.running[job.id]
            live.stopped.set()
            self._means.board.notify(job.id)

    async def _end(self, live: RunningJob, job: Job) -> None:
        now = self._means.clock()
        ended = replace(job, finished_at=now, expires_at=now + self._kept_s)
        if await self._means.store.end_job(ended, self._owner, create_delivery(ended, now)):
            live.job = ended
            log.info("job ended", status=ended.status.value)
            self._means.board.ended.notify()

    async def _keep(self, live: RunningJob) -> None:
        """Renew the lease; a job that is lost (cancelled elsewhere, or taken) is stopped."""
        while True:
            await anyio.sleep(RENEWED_S)
            until = self._means.clock() + LEASE_S
            if not await self._means.store.renew(live.job, self._owner, until):
                log.warning("job lost")
                live.scope.cancel()

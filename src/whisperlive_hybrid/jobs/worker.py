"""Runs jobs in the order of their submission, each under a lease."""

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
"""Interval at which the progress of a file is stored, for other servers and the next start."""

log = structlog.get_logger(__name__)


class Models(Protocol):
    """The models of this server."""

    @property
    def names(self) -> ModelNames:
        """Their names."""

    def lease(self, name: str, account: str) -> AbstractAsyncContextManager[Transcriber]:
        """Yield a transcriber whose model stays in memory meanwhile; raise `Overloaded`."""


def keyless(account: str) -> Caller:
    """Return the caller of an account on a server without keys."""
    return Caller.from_account(account, None)


class FileObserver(Protocol):
    """Receives measurements of the files of jobs."""

    def span(self, job_id: str) -> AbstractContextManager[object]:
        """Return a context for the decoding of a file."""

    def on_failure(self, error: Exception) -> None:
        """Receive the error of a file that failed."""


class _NoFileObserver:
    """Measures nothing."""

    def span(self, job_id: str) -> AbstractContextManager[object]:
        """Return a context that does nothing."""
        del job_id
        return nullcontext()

    def on_failure(self, error: Exception) -> None:
        """Ignore it."""


NO_FILE_OBSERVER: Final[FileObserver] = _NoFileObserver()


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """What a worker needs to run jobs."""

    store: JobStore
    models: Models
    media: MediaFiles
    fetcher: Fetcher
    running: RunningJobs
    quotas: Quotas
    """Where the usage of the submitting caller is recorded."""
    maker: Callable[[str], Caller] = keyless
    """Returns the caller of an account."""
    clock: Callable[[], float] = time.time
    """Unix seconds."""
    observer: FileObserver = NO_FILE_OBSERVER


class JobRun:
    """Decodes the files of one job, one after another."""

    def __init__(self, live: RunningJob, context: WorkerContext) -> None:
        self._live = live
        self._context = context

    async def run(self) -> Job:
        """Decode what is left; return the job with all its files ended.

        A file that fails does not end the job, and a full engine only delays it.
        """
        languages: list[str] = []
        texts: list[str] = []
        for number in range(len(self._live.job.sources)):
            self._live.start_file()
            if result := await self._run_source(self._live.job.sources[number]):
                languages.append(result.language)
                texts.append(join_text(result.segments))
        job = self._live.job
        return replace(job, status=job.outcome).with_transcripts(texts, languages)

    async def _run_source(self, source: JobSource) -> Result | None:
        """Run a file to its end; return its result, None if it failed, now or in an earlier run."""
        if source.status.is_finished:
            result = await self._context.store.get_result(source)
            self._live.add_text(join_text(result.segments) if result else "")
            return result
        has_begun = (
            source.status is Status.RUNNING
        )  # by an earlier process, which had checked the quota
        source = replace(source, status=Status.RUNNING)
        await self._context.store.set_source(source)
        reading = _SourceRun(source, self._live, self._context)
        reading.show(source)
        try:
            if not has_begun:
                self._context.quotas.check_audio(self._context.maker(self._live.job.account))
            with self._context.observer.span(self._live.job.id):
                result = await reading.result()
        except Exception as error:  # fails only the file that it belongs to
            self._context.observer.on_failure(error)
            if isinstance(error, WhisperLiveError):
                log.warning("a file of a job failed", file=source.index, reason=error_kind(error))
            else:
                log.exception("a file of a job failed", file=source.index)
            await reading.end(Status.FAILED, None, ErrorInfo.of(error))
            return None
        await reading.end(Status.COMPLETED, result, None)
        return result


class _SourceRun:
    """Decodes one file of a job."""

    def __init__(self, source: JobSource, live: RunningJob, context: WorkerContext) -> None:
        self._source = source
        self._live = live
        self._context = context
        self._booking: UsageMeter | None = None
        self._n_shown = 0  # windows: after a pause for a full engine, all of them come again
        self._stored_at = context.clock()

    def show(self, source: JobSource) -> None:
        """Set a new state, and notify the watchers."""
        self._source = source
        self._live.update_source(source)
        self._context.running.notify(self._live.job.id)

    async def end(self, status: Status, result: Result | None, failure: ErrorInfo | None) -> None:
        """Store its end."""
        length = result.duration if result else None
        source = replace(self._source, status=status, failure=failure)
        if length is not None:
            source = replace(source, done=length, total=length)
        await self._context.store.end_source(source, result)
        self.show(source)

    async def result(self) -> Result:
        """Decode it; wait and retry while the engine is full. No window is decoded twice."""
        while True:
            try:
                return await self._read()
            except Overloaded as busy:
                await anyio.sleep(busy.retry_after_s)

    async def _read(self) -> Result:
        await self._fetch()
        job, store = self._live.job, self._context.store
        memory = await store.load_checkpoint(self._source)
        booking = self._booking_after(memory)
        audio = job.request.audio
        try:
            with await store.open_source(self._source) as file:
                async with (
                    self._context.models.lease(audio.model, job.account) as transcriber,
                    self._context.media.open(file, audio_track=audio.audio_track) as recording,
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
        """Return the usage of this run; an earlier process has recorded what it decoded."""
        if self._booking is None:
            done = max(self._source.done, memory.read_to)
            self._booking = UsageMeter(self._context.quotas, self._live.job.account, done)
        return self._booking

    async def _advance(self, update: WindowDone) -> None:
        self._live.add_text(update.text)
        self.show(replace(self._source, done=max(self._source.done, update.done)))
        if self._context.clock() - self._stored_at >= PROGRESS_STORED_S:
            self._stored_at = self._context.clock()
            await self._context.store.set_source(self._source)
            await self._context.store.set_text(self._live.job, tail(self._live.job.text))

    async def _fetch(self) -> None:
        """Download the file of a URL, unless that was done before."""
        store, source = self._context.store, self._source
        if source.url is None or await store.has_file(source.spooled):
            return
        async with store.spool_download(source.spooled) as file:
            found = await self._context.fetcher.download(source.url, file)
        self.show(replace(source, name=found.filename or source.name))
        await store.set_source(self._source)


LEASE_S: Final = 60.0
"""How long a job belongs to this server after the last renewal."""

RENEWED_S: Final = 20.0
"""Interval of the renewals: two may be late."""


class Runner:
    """Takes jobs from the store and runs them to their end."""

    def __init__(self, context: WorkerContext, kept_s: float) -> None:
        """`kept_s` is how long jobs are kept after their end."""
        self._context = context
        self._kept_s = kept_s
        self._owner = uuid.uuid4().hex

    async def run(self) -> None:
        """Run one job after another until cancelled; one task for each job at a time.

        When this is cancelled, the current job stays in the store as it is, to be resumed. So it
        does when this raises, for a defect or a full disk; its lease must expire first.
        """
        while True:
            changed = self._context.running.arrived.next()
            job = await self._take()
            if job is not None:
                with structlog.contextvars.bound_contextvars(job_id=job.id):
                    await self._run_watched(job)
                continue
            with anyio.move_on_after(LEASE_S):  # an expired lease notifies no one
                await changed.wait()

    async def _take(self) -> Job | None:
        now, names = self._context.clock(), self._context.models.names
        offered = (names.first, *names.others)
        return await self._context.store.take(self._owner, offered, now, now + LEASE_S)

    async def _run_watched(self, job: Job) -> None:
        """Run a job so that its progress can be watched and it can be cancelled."""
        live = self._context.running.by_id[job.id] = RunningJob(job)
        try:
            with live.scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._keep, live)
                    await self._end(live, await JobRun(live, self._context).run())
                    tasks.cancel_scope.cancel()
        finally:
            del self._context.running.by_id[job.id]
            live.stopped.set()
            self._context.running.notify(job.id)

    async def _end(self, live: RunningJob, job: Job) -> None:
        now = self._context.clock()
        ended = replace(job, finished_at=now, expires_at=now + self._kept_s)
        if await self._context.store.end_job(ended, self._owner, create_delivery(ended, now)):
            live.job = ended
            log.info("job ended", status=ended.status.value)
            self._context.running.ended.notify()

    async def _keep(self, live: RunningJob) -> None:
        """Renew the lease; stop a job that is lost (cancelled elsewhere, or taken)."""
        while True:
            await anyio.sleep(RENEWED_S)
            until = self._context.clock() + LEASE_S
            if not await self._context.store.renew(live.job, self._owner, until):
                log.warning("job lost")
                live.scope.cancel()

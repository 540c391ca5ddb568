"""The jobs of one caller: submit, get, watch, cancel and delete them."""

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import BinaryIO, Final

import anyio
import structlog

from whisperlive_hybrid.auth.caller import Caller
from whisperlive_hybrid.errors import BadRequest, Conflict, NotFound, Unsupported
from whisperlive_hybrid.jobs.model import (
    Job,
    JobRequest,
    JobSource,
    NewJob,
    NewSource,
    Result,
    SourceOrigin,
    Status,
)
from whisperlive_hybrid.jobs.progress import JobSubscription
from whisperlive_hybrid.jobs.store.spool import generate_name
from whisperlive_hybrid.jobs.webhooks import create_delivery
from whisperlive_hybrid.jobs.worker import WorkerContext
from whisperlive_hybrid.types import join_text

MAX_NAME_LENGTH: Final = 200
"""Characters of a file's name that are stored."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class JobLimits:
    """Limits of jobs."""

    files: int
    """Per job."""
    unfinished: int
    """Queued and running jobs, of all callers."""
    kept_s: float
    """Seconds for which a job is kept after its end."""
    webhooks: bool
    """There is a secret to sign webhooks with."""


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file of a submission; the caller closes it."""

    name: str
    content: BinaryIO
    size: int


class JobService:
    """The jobs that one caller may see; for it, all others do not exist."""

    def __init__(self, context: WorkerContext, limits: JobLimits, caller: Caller) -> None:
        self._caller = caller
        self._context = context
        self._store = context.store
        self._running = context.running
        self._limits = limits

    async def submit(self, request: JobRequest, uploads: Sequence[UploadedFile]) -> Job:
        """Store a new job; when this returns, it survives a power failure.

        Raises `BadRequest` for an invalid request, `Overloaded` if too many jobs are unfinished,
        and `OutOfSpace` if the disk is too small.
        """
        self._check(request, len(uploads))
        await self._store.check_space(sum(upload.size for upload in uploads))
        sources = [
            NewSource(upload.name[:MAX_NAME_LENGTH], SourceOrigin.UPLOAD, generate_name())
            for upload in uploads
        ]
        for url in request.urls:
            label = url.partition("?")[0]  # the query may be a signature, which is a secret
            name = label[:MAX_NAME_LENGTH]
            sources.append(NewSource(name, SourceOrigin.URL, generate_name(), url))
        spooled = [source.spooled for source in sources[: len(uploads)]]
        try:
            for upload, name in zip(uploads, spooled, strict=True):
                await self._store.spool_upload(name, upload.content)
            # A client that disconnects now must not separate the row from the files that it names.
            with anyio.CancelScope(shield=True):
                new = NewJob(f"job_{uuid.uuid4().hex}", self._caller.account, request)
                now, limit = self._context.clock(), self._limits.unfinished
                job = await self._store.add(new, sources, now, limit)
        except BaseException:
            self._store.spool.remove(spooled)
            raise
        log.info("job taken in", job_id=job.id, files=len(job.sources))
        self._running.arrived.notify()
        return job

    async def get(self, job_id: str) -> Job:
        """Return the newest state of a job; raises `NotFound`."""
        stored = await self._store.get(job_id)
        if stored is None or not self._caller.may_see(stored.account):
            # Not "forbidden": the response must not reveal that another caller's job exists.
            raise NotFound(f"There is no job {job_id[:80]!r}.", code="job_not_found")
        live = self._running.by_id.get(job_id)
        return live.job if live and not stored.status.is_finished else stored

    async def get_page(
        self, limit: int, after: str | None, status: Status | None
    ) -> tuple[list[Job], bool]:
        """Return at most `limit` jobs older than `after`, newest first, and if there are more."""
        before = (await self.get(after)).number if after else None
        # One more than requested, to see if there is another page.
        stored = await self._store.get_page(limit + 1, before, status, self._caller.sees_only)
        running = self._running.by_id
        newest = [running[job.id].job if job.id in running else job for job in stored]
        return newest[:limit], len(stored) > limit

    @asynccontextmanager
    async def watch(self, job_id: str) -> AsyncIterator[JobSubscription]:
        """Subscribe to a job while inside; raises `NotFound`."""
        with self._running.notifier(job_id) as notifier:
            yield JobSubscription(self._running, notifier, self._store.get, await self.get(job_id))

    async def cancel(self, job_id: str) -> Job:
        """Cancel a job, idempotently. Raises `Conflict` if it has ended otherwise."""
        await self._stop(await self.get(job_id), send_webhook=True)
        job = await self.get(job_id)
        if job.status is not Status.CANCELLED:
            raise Conflict(
                f"The job has {job.status.value} already; there is nothing to cancel.",
                code="job_finished",
            )
        return job

    async def delete(self, job_id: str) -> None:
        """Cancel a job if it has not ended, and delete it with its results and files."""
        job = await self.get(job_id)
        await self._stop(job, send_webhook=False)
        await self._store.delete(job)
        self._running.notify(job_id)

    async def get_results(
        self, job_id: str, index: int | None
    ) -> tuple[Job, list[tuple[JobSource, Result | None]]]:
        """Return a job that has ended, and the result of the file `index`, or of all files.

        Raises `Conflict` if it has not ended.
        """
        job = await self.get(job_id)
        if not job.status.is_finished:
            raise Conflict(
                f"The job is {job.status.value}; its result is available once it has ended.",
                code="job_not_finished",
            )
        if index is not None and index >= len(job.sources):
            raise BadRequest(
                f"The job has no file {index}; its files are 0 to {len(job.sources) - 1}.",
                param="file",
                code="invalid_value",
            )
        sources = job.sources if index is None else job.sources[index : index + 1]
        return job, [(source, await self._store.get_result(source)) for source in sources]

    async def _stop(self, job: Job, *, send_webhook: bool) -> None:
        """Stop a job and store it as cancelled, so that no worker takes it again."""
        while live := self._running.by_id.get(job.id):
            live.scope.cancel()
            await live.stopped.wait()
            # The state in memory is newer than the stored one.
            job = live.job
            await self._cancel(job, send_webhook=send_webhook)
        await self._cancel(job, send_webhook=send_webhook)  # for one that was queued; idempotent
        # A worker that took the job just before that has lost it and only has to stop.
        while live := self._running.by_id.get(job.id):
            live.scope.cancel()
            await live.stopped.wait()
        self._running.notify(job.id)

    async def _cancel(self, job: Job, *, send_webhook: bool) -> None:
        if job.status.is_finished:
            return
        # The text includes that of files that were transcribed in part.
        languages: list[str] = []
        texts: list[str] = []
        for source in job.sources:
            if result := await self._store.get_result(source):
                languages.append(result.language)
                texts.append(join_text(result.segments))
            else:
                texts.append(await (await self._store.load_checkpoint(source)).text())
        now = self._context.clock()
        job = job.with_transcripts(texts, languages).as_cancelled(now, now + self._limits.kept_s)
        if await self._store.cancel(job, create_delivery(job, now) if send_webhook else None):
            self._running.ended.notify()

    def _check(self, request: JobRequest, n_uploads: int) -> None:
        n_files = n_uploads + len(request.urls)
        if not 1 <= n_files <= self._limits.files:
            raise BadRequest(
                f"A job takes 1 to {self._limits.files} files and URLs together, not {n_files}; "
                "send them as 'file' and 'url'.",
                param="file",
            )
        for url in request.urls:
            self._context.fetcher.check(url)
        if request.webhook_url is None:
            return
        if not self._limits.webhooks:
            raise Unsupported(
                "webhook_url is not supported: this server has no WHISPERLIVE_WEBHOOK_SECRET "
                "to sign with.",
                param="webhook_url",
            )
        try:
            self._context.fetcher.check(request.webhook_url)
        except BadRequest as error:
            raise BadRequest(error.message, param="webhook_url", code=error.code) from error

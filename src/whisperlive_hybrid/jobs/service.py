"""Where jobs are handed in, looked at, watched, cancelled and thrown away."""

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
    NewJob,
    NewSource,
    Origin,
    Result,
    Source,
    Status,
)
from whisperlive_hybrid.jobs.progress import JobWatch
from whisperlive_hybrid.jobs.store.spool import new_name
from whisperlive_hybrid.jobs.webhooks import webhook_of
from whisperlive_hybrid.jobs.worker import Means
from whisperlive_hybrid.types import join_text

LONGEST_NAME: Final = 200
"""Characters of a file's name that are kept."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class JobLimits:
    """How much clients may ask for, and how long it is kept."""

    files: int
    """Per job."""
    unfinished: int
    """Jobs at once."""
    kept_s: float
    """Seconds after the end of a job."""
    webhooks: bool
    """Whether there is a secret to sign them with."""


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file of a submission; the caller's to close."""

    name: str
    content: BinaryIO
    size: int


class JobDesk:
    """What one caller can do with jobs; those of others are not there for it."""

    def __init__(self, means: Means, limits: JobLimits, caller: Caller) -> None:
        self._caller = caller
        self._means = means
        self._store = means.store
        self._board = means.board
        self._limits = limits

    async def submit(self, request: JobRequest, uploads: Sequence[UploadedFile]) -> Job:
        """Take a job in; when this returns, not even a power cut loses it.

        Raises `BadRequest` for what makes no sense, `Overloaded` where too many are unfinished, and
        `OutOfSpace` where the disk is too small.
        """
        self._check(request, len(uploads))
        async with self._spooled(uploads) as files:
            # A client that hangs up now must not part the row from the files that it names.
            with anyio.CancelScope(shield=True):
                job = await self._store.add(
                    NewJob(f"job_{uuid.uuid4().hex}", self._caller.account, request),
                    [*files, *map(_to_fetch, request.urls)],
                    self._means.clock(),
                    self._limits.unfinished,
                )
        log.info("job taken in", job_id=job.id, files=len(job.sources))
        self._board.arrived.notify()
        return job

    async def job(self, job_id: str) -> Job:
        """Its newest state; raises `NotFound`."""
        stored = await self._store.job(job_id)
        if stored is None or not self._caller.may_see(stored.account):
            raise NotFound(f"There is no job {job_id[:80]!r}.", code="job_not_found")
        live = self._board.running.get(job_id)
        return live.job if live and not stored.status.is_finished else stored

    async def page(
        self, limit: int, after: str | None, status: Status | None
    ) -> tuple[list[Job], bool]:
        """At most `limit` jobs, newest first, older than `after`; and whether there are more."""
        before = (await self.job(after)).number if after else None
        found = await self._store.page(limit + 1, before, status, self._caller.sees_only)
        running = self._board.running
        newest = [running[job.id].job if job.id in running else job for job in found]
        return newest[:limit], len(found) > limit

    @asynccontextmanager
    async def watch(self, job_id: str) -> AsyncIterator[JobWatch]:
        """Watch a job while inside; raises `NotFound`."""
        with self._board.notifier(job_id) as notifier:
            yield JobWatch(self._board, notifier, self._store.job, await self.job(job_id))

    async def cancel(self, job_id: str) -> Job:
        """End a job; once more does no harm. Raises `Conflict` for one that ended by itself."""
        await self._stop(await self.job(job_id), tell=True)
        job = await self.job(job_id)
        if job.status is not Status.CANCELLED:
            raise Conflict(
                f"The job has {job.status.value} already; there is nothing to cancel.",
                code="job_finished",
            )
        return job

    async def delete(self, job_id: str) -> None:
        """Cancel a job if need be, and delete it with its results and files."""
        job = await self.job(job_id)
        await self._stop(job, tell=False)
        await self._store.delete(job)
        self._board.notify(job_id)

    async def results(
        self, job_id: str, index: int | None
    ) -> tuple[Job, list[tuple[Source, Result | None]]]:
        """A job that has ended, and what was said in the file `index`, or in all of them.

        Raises `Conflict` if it has not ended.
        """
        job = await self.job(job_id)
        if not job.status.is_finished:
            raise Conflict(
                f"The job is {job.status.value}; its result is there once it has ended.",
                code="job_not_finished",
            )
        if index is not None and index >= len(job.sources):
            raise BadRequest(
                f"The job has no file {index}; its files are 0 to {len(job.sources) - 1}.",
                param="file",
                code="invalid_value",
            )
        wanted = job.sources if index is None else job.sources[index : index + 1]
        return job, [(source, await self._store.result(source)) for source in wanted]

    async def _stop(self, job: Job, *, tell: bool) -> None:
        """See to it that nothing of a job runs any more, and that nobody takes it again."""
        while live := self._board.running.get(job.id):
            live.scope.cancel()
            await live.left.wait()
            job = live.job
            await self._cancel(job, tell=tell)
        await self._cancel(job, tell=tell)  # it has waited; once more does no harm
        while live := self._board.running.get(job.id):  # taken in between, and lost already
            live.scope.cancel()
            await live.left.wait()
        self._board.notify(job.id)

    async def _cancel(self, job: Job, *, tell: bool) -> None:
        if job.status.is_finished:
            return
        heard, now = await self._heard(job), self._means.clock()
        ended = heard.cancelled(now, now + self._limits.kept_s)
        if await self._store.cancel(ended, webhook_of(ended, now) if tell else None):
            self._board.ended.notify()

    async def _heard(self, job: Job) -> Job:
        """The job with all that was read of it, also in files that were not read to their end."""
        languages: list[str] = []
        texts: list[str] = []
        for source in job.sources:
            if result := await self._store.result(source):
                languages.append(result.language)
                texts.append(join_text(result.segments))
            else:
                texts.append(await (await self._store.memory(source)).text())
        return job.with_heard(texts, languages)

    def _check(self, request: JobRequest, n_uploads: int) -> None:
        n_files = n_uploads + len(request.urls)
        if not 1 <= n_files <= self._limits.files:
            raise BadRequest(
                f"A job takes 1 to {self._limits.files} files and URLs together, not {n_files}; "
                "send them as 'file' and 'url'.",
                param="file",
            )
        for url in request.urls:
            self._means.fetcher.check(url)
        if request.webhook_url is None:
            return
        if not self._limits.webhooks:
            raise Unsupported(
                "webhook_url is not supported: this server has no WHISPERLIVE_WEBHOOK_SECRET "
                "to sign with.",
                param="webhook_url",
            )
        try:
            self._means.fetcher.check(request.webhook_url)
        except BadRequest as error:
            raise BadRequest(error.message, param="webhook_url", code=error.code) from error

    @asynccontextmanager
    async def _spooled(self, uploads: Sequence[UploadedFile]) -> AsyncIterator[list[NewSource]]:
        """The uploads in the spool; taken out again if no job comes of them."""
        await self._store.check_room(sum(upload.size for upload in uploads))
        names = [new_name() for _ in uploads]
        try:
            for upload, name in zip(uploads, names, strict=True):
                await self._store.spool_in(name, upload.content)
            yield [
                NewSource(upload.name[:LONGEST_NAME], Origin.UPLOAD, name)
                for upload, name in zip(uploads, names, strict=True)
            ]
        except BaseException:
            self._store.spool.remove(names)
            raise


def _to_fetch(url: str) -> NewSource:
    label = url.partition("?")[0]  # behind it may be a signature, which is nobody else's business
    return NewSource(label[:LONGEST_NAME], Origin.URL, new_name(), url)

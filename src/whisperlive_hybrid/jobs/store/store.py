"""The store of jobs for its users: every change is one transaction, off the event loop.

A file in the spool and its row cannot change in one step. So a file is written before the row that
names it, and deleted after that row: a crash leaves at most files without a row, and `recover`
deletes those.
"""

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import BinaryIO, ParamSpec, TypeVar

import anyio
import anyio.to_thread

from whisperlive_hybrid.errors import BadAudio
from whisperlive_hybrid.jobs.model import Job, JobSource, NewJob, NewSource, Result, Status
from whisperlive_hybrid.jobs.store import queries
from whisperlive_hybrid.jobs.store.checkpoints import SourceCheckpoint, dump_result, load_result
from whisperlive_hybrid.jobs.store.queries import WebhookDelivery
from whisperlive_hybrid.jobs.store.schema import SCHEMA, jobs
from whisperlive_hybrid.jobs.store.spool import Spool
from whisperlive_hybrid.storage.database import Database, open_database
from whisperlive_hybrid.storage.directory import lock_directory

P = ParamSpec("P")
T = TypeVar("T")


@contextmanager
def open_store(directory: Path) -> Iterator["JobStore"]:
    """Open the store in `directory` and lock it; blocking. Raises `BadRequest` if that fails."""
    with lock_directory(directory) as full:
        database = open_database(full / "jobs.db", SCHEMA)
        try:
            yield JobStore(database, Spool(full / "spool"))
        finally:
            database.close()


class JobStore:
    """Jobs and their files; `owner` is the worker that runs a job, `now` is in Unix seconds."""

    def __init__(self, database: Database, spool: Spool) -> None:
        self._run = database.run
        self._database = database
        self.spool = spool
        # Copies of large uploads must not occupy all worker threads of the event loop.
        self._copying = anyio.CapacityLimiter(2)

    async def recover(self) -> tuple[int, list[str]]:
        """At the start, release all running jobs and delete files that no job needs.

        Returns the number of these jobs and the names of these files.
        """
        # The directory is locked, so no worker holds a lease: jobs continue at once.
        resumed = await self._run(queries.release_all)
        needed = await self._run(queries.select_spooled)
        return resumed, await self._on_disk(self.spool.remove_all_except, needed)

    async def check_space(self, size: int) -> None:
        """Raise `OutOfSpace` if there is no space for `size` more bytes."""
        await self._on_disk(self.spool.check_space, size)

    async def spool_upload(self, name: str, content: BinaryIO) -> None:
        """Copy an upload into the spool; raises `OutOfSpace`."""
        await self._on_disk(self.spool.add, name, content)

    async def has_file(self, name: str) -> bool:
        """Return True if a file of that name is in the spool."""
        return await self._on_disk(self.spool.path(name).exists)

    @asynccontextmanager
    async def spool_download(self, name: str) -> AsyncIterator[BinaryIO]:
        """Open a file to write to, which gets its name at the end; an exception deletes it."""
        with self.spool.discard_unfinished(name):
            with await self._on_disk(self.spool.begin, name) as file:
                yield file
            await self._on_disk(self.spool.commit, name)

    async def open_source(self, source: JobSource) -> BinaryIO:
        """Open the audio of a file; raises `BadAudio` if it is gone. The caller closes it."""
        try:
            return await self._on_disk(self.spool.path(source.spooled).open, "rb")
        except FileNotFoundError as error:
            raise BadAudio(
                "The audio is no longer on the disk of this server.", param="file"
            ) from error

    async def delete_files(self, names: Collection[str]) -> None:
        """Delete files that no row names any more."""
        await self._on_disk(self.spool.remove, names)

    async def add(self, new: NewJob, files: Sequence[NewSource], now: float, limit: int) -> Job:
        """Store a new job; raises `Overloaded` if `limit` jobs are unfinished already."""
        return await self._run(queries.add, new, files, now=now, limit=limit)

    async def get(self, job_id: str) -> Job | None:
        """Return the job of this id, if there is one."""
        found = await self._run(queries.select_jobs, jobs.c.id == job_id, limit=1)
        return found[0] if found else None

    async def get_page(
        self, limit: int, before: int | None, status: Status | None, account: str | None = None
    ) -> list[Job]:
        """Return the newest jobs whose number is below `before`; None for an argument: any."""
        return await self._run(
            queries.select_page, limit=limit, before=before, status=status, account=account
        )

    async def count_by_status(self) -> dict[Status, int]:
        """Return the number of jobs of every status."""
        return await self._run(queries.count_by_status)

    async def take(
        self, owner: str, models: Collection[str], now: float, until: float
    ) -> Job | None:
        """Lease the oldest job that no worker runs and whose model is among `models`."""
        return await self._run(queries.take, owner, models, now=now, until=until)

    async def renew(self, job: Job, owner: str, until: float) -> bool:
        """Extend the lease of a job; return False if it is lost."""
        return await self._run(queries.renew, job.number, owner, until=until)

    async def release(self, job: Job, owner: str) -> None:
        """End the lease of an unfinished job."""
        await self._run(queries.release, job.number, owner)

    async def cancel(self, job: Job, webhook: WebhookDelivery | None) -> bool:
        """Store a cancelled job and delete its audio; return False if it has ended already."""
        is_cancelled = await self._run(queries.cancel, job, webhook)
        # The row first: until it is stored, a restart would continue the job and need its audio.
        if is_cancelled:
            await self.delete_files([source.spooled for source in job.sources])
        return is_cancelled

    async def set_source(self, source: JobSource) -> None:
        """Store the state of a file."""
        await self._run(queries.set_source, source)

    async def set_text(self, job: Job, text: str) -> None:
        """Store the end of the text so far."""
        await self._run(queries.set_text, job.number, text)

    async def end_source(self, source: JobSource, result: Result | None) -> None:
        """Store the end of a file, and delete its audio."""
        text = None if result is None else dump_result(result)
        await self._run(queries.end_source, source, text)
        await self.delete_files([source.spooled])

    async def end_job(self, job: Job, owner: str, webhook: WebhookDelivery | None) -> bool:
        """Store the end of a job and its webhook; return False if the lease is lost."""
        return await self._run(queries.end_job, job, owner, webhook)

    async def get_result(self, source: JobSource) -> Result | None:
        """Return the result of a file; None if there is none."""
        text = await self._run(queries.select_result, source.number)
        return None if text is None else load_result(text)

    async def delete(self, job: Job) -> None:
        """Delete a job, its results and its files."""
        await self.delete_files(await self._run(queries.delete_jobs, jobs.c.number == job.number))

    async def expire(self, now: float) -> float | None:
        """Delete expired jobs; return the time at which the next one expires."""
        await self.delete_files(await self._run(queries.delete_jobs, jobs.c.expires_at <= now))
        return await self._run(queries.select_next_expiry)

    async def load_checkpoint(self, source: JobSource) -> SourceCheckpoint:
        """Load the checkpoint of a file: the windows that are decoded already."""
        return await SourceCheckpoint.load(self._database, source.number)

    async def get_due(self, now: float, limit: int) -> list[WebhookDelivery]:
        """Return webhooks that are due, oldest first."""
        return await self._run(queries.select_due, now, limit)

    async def get_next_due(self) -> float | None:
        """Return the time at which the next webhook is due."""
        return await self._run(queries.select_next_due)

    async def postpone(self, delivery: WebhookDelivery, due_at: float) -> None:
        """Count a failed attempt, and set the time of the next."""
        await self._run(queries.postpone, delivery, due_at)

    async def close_delivery(self, delivery: WebhookDelivery) -> None:
        """Delete a webhook that was delivered or given up."""
        await self._run(queries.delete_delivery, delivery)

    async def _on_disk(self, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        return await anyio.to_thread.run_sync(
            lambda: work(*arguments, **named), limiter=self._copying
        )

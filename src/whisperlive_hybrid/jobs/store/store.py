"""The store of jobs, as the use case sees it: every change is one transaction, off the event loop.

Files in the spool and rows in the database cannot change in one step, so the order is: a file
before the row that names it, and a row before the file that it named. What a crash leaves is then
always a file without a row, and `tidy` deletes those.
"""

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import BinaryIO, ParamSpec, TypeVar

import anyio
import anyio.to_thread
from sqlalchemy import Connection

from whisperlive_hybrid.errors import BadAudio
from whisperlive_hybrid.jobs.model import Job, NewJob, NewSource, Result, Source, Status
from whisperlive_hybrid.jobs.store import queries
from whisperlive_hybrid.jobs.store import queries as deliveries
from whisperlive_hybrid.jobs.store.checkpoints import SourceMemory, result_of_text, result_to_text
from whisperlive_hybrid.jobs.store.queries import Delivery
from whisperlive_hybrid.jobs.store.schema import SCHEMA, jobs
from whisperlive_hybrid.jobs.store.spool import Spool
from whisperlive_hybrid.storage.database import Database, open_database
from whisperlive_hybrid.storage.directory import lock_directory

P = ParamSpec("P")
T = TypeVar("T")


@contextmanager
def open_store(directory: Path) -> Iterator["JobStore"]:
    """Open the store in `directory`, alone; blocking. Raises `BadRequest` if that cannot be."""
    with lock_directory(directory) as full:
        database = open_database(full / "jobs.db", SCHEMA)
        try:
            yield JobStore(database, Spool(full / "spool"))
        finally:
            database.close()


class JobStore:
    """Jobs and their files; `owner` names who runs a job, `now` is in Unix seconds."""

    def __init__(self, database: Database, spool: Spool) -> None:
        self._run = database.run
        self._database = database
        self.spool = spool
        self._copying = anyio.CapacityLimiter(2)

    async def tidy(self) -> tuple[int, list[str]]:
        """After a start: give back all jobs that ran, and delete files that no job needs.

        Returns the number of those jobs and the names of those files.
        """
        resumed = await self._run(queries.release_all)
        known = await self._run(queries.spooled)
        return resumed, await self._on_disk(self.spool.remove_all_but, known)

    async def check_room(self, size: int) -> None:
        """Raise `OutOfSpace` if there is no room for `size` bytes more."""
        await self._on_disk(self.spool.check_room, size)

    async def spool_in(self, name: str, content: BinaryIO) -> None:
        """Copy an upload into the spool; raises `OutOfSpace`."""
        await self._on_disk(self.spool.add, name, content)

    async def has_file(self, name: str) -> bool:
        """Whether a file of that name lies in the spool."""
        return await self._on_disk(self.spool.path(name).exists)

    @asynccontextmanager
    async def downloading(self, name: str) -> AsyncIterator[BinaryIO]:
        """A file to write to; on leaving it has its name, or, after an exception, is gone."""
        with self.spool.whole_or_gone(name):
            with await self._on_disk(self.spool.begin, name) as file:
                yield file
            await self._on_disk(self.spool.settle, name)

    async def opened(self, source: Source) -> BinaryIO:
        """The audio of a file, for the caller to close; raises `BadAudio` if it has gone."""
        try:
            return await self._on_disk(self.spool.path(source.spooled).open, "rb")
        except FileNotFoundError as error:
            raise BadAudio(
                "The audio is no longer on the disk of this server.", param="file"
            ) from error

    async def drop(self, names: Collection[str]) -> None:
        """Delete files that no row names any more."""
        await self._on_disk(self.spool.remove, names)

    async def add(self, new: NewJob, files: Sequence[NewSource], now: float, limit: int) -> Job:
        """Store a new job; raises `Overloaded` if `limit` jobs are unfinished already."""
        return await self._run(queries.add, new, files, now=now, limit=limit)

    async def job(self, job_id: str) -> Job | None:
        """The job of that name."""
        return next(iter(await self._run(queries.one, jobs.c.id == job_id)), None)

    async def page(
        self, limit: int, before: int | None, status: Status | None, account: str | None = None
    ) -> list[Job]:
        """The newest jobs, newest first, whose number is below `before`; None: of any account."""
        return await self._run(
            queries.page, limit=limit, before=before, status=status, account=account
        )

    async def counts(self) -> dict[Status, int]:
        """How many jobs there are of every status."""
        return await self._run(queries.counts)

    async def take(
        self, owner: str, models: Collection[str], now: float, until: float
    ) -> Job | None:
        """Lease the oldest job that nobody runs and whose model is among `models`."""
        return await self._run(queries.take, owner, models, now=now, until=until)

    async def renew(self, job: Job, owner: str, until: float) -> bool:
        """Keep a job for longer; False if it is no longer the owner's."""
        return await self._run(queries.renew, job.number, owner, until=until)

    async def release(self, job: Job, owner: str) -> None:
        """Give a job back unfinished."""
        await self._run(queries.release, job.number, owner)

    async def cancel(self, job: Job, webhook: Delivery | None) -> bool:
        """End a job that has not ended, and delete its audio; False if it has ended.

        `job` is as it shall be.
        """
        ended = await self._run(_cancel, job, webhook)
        if ended:
            await self.drop([source.spooled for source in job.sources])
        return ended

    async def set_source(self, source: Source) -> None:
        """Store where a file stands."""
        await self._run(queries.set_source, source)

    async def set_text(self, job: Job, text: str) -> None:
        """Store the end of the text so far."""
        await self._run(queries.set_text, job.number, text)

    async def end_source(self, source: Source, result: Result | None) -> None:
        """Store what became of a file; its audio is deleted."""
        written = None if result is None else result_to_text(result)
        await self._run(queries.end_source, source, written)
        await self.drop([source.spooled])

    async def end_job(self, job: Job, owner: str, webhook: Delivery | None) -> bool:
        """Store the end of a job, and what is to be told about it; False if it is another's."""
        return await self._run(_end_job, job, owner, webhook)

    async def result(self, source: Source) -> Result | None:
        """What was said in a file; None while that is not known."""
        written = await self._run(queries.result, source.number)
        return None if written is None else result_of_text(written)

    async def delete(self, job: Job) -> None:
        """Delete a job, its results and its files."""
        await self.drop(await self._run(queries.remove, jobs.c.number == job.number))

    async def expire(self, now: float) -> float | None:
        """Delete the jobs whose time has come; return when the next one's does."""
        await self.drop(await self._run(queries.remove, jobs.c.expires_at <= now))
        return await self._run(queries.next_expiry)

    async def memory(self, source: Source) -> SourceMemory:
        """What was read of a file so far."""
        return await SourceMemory.of(self._database, source.number)

    async def due(self, now: float, limit: int) -> list[Delivery]:
        """Webhooks whose time has come, oldest first."""
        return await self._run(deliveries.due, now, limit)

    async def next_due(self) -> float | None:
        """When the next webhook's time comes."""
        return await self._run(deliveries.next_due)

    async def postpone(self, delivery: Delivery, due_at: float) -> None:
        """Count a try that failed, and set the time of the next."""
        await self._run(deliveries.postpone, delivery, due_at)

    async def close_delivery(self, delivery: Delivery) -> None:
        """Forget a webhook: it has arrived, or never will."""
        await self._run(deliveries.remove_delivery, delivery)

    async def _on_disk(self, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        return await anyio.to_thread.run_sync(
            lambda: work(*arguments, **named), limiter=self._copying
        )


def _cancel(connection: Connection, job: Job, webhook: Delivery | None) -> bool:
    ended = queries.cancel(connection, job)
    if ended and webhook is not None:
        deliveries.add_delivery(connection, job.number, webhook)
    return ended


def _end_job(connection: Connection, job: Job, owner: str, webhook: Delivery | None) -> bool:
    ended = queries.end_job(connection, job, owner)
    if ended and webhook is not None:
        deliveries.add_delivery(connection, job.number, webhook)
    return ended

"""Transcribing recordings through the jobs of a server: one job for each."""

from collections.abc import Sequence
from contextlib import aclosing, suppress
from typing import Final, Protocol

import anyio
import anyio.to_thread

from whisperlive_hybrid.cli.batch.formats import Texts, Wish
from whisperlive_hybrid.cli.batch.inputs import Item, UrlSource, unreadable
from whisperlive_hybrid.cli.batch.jobs_client import Fields, JobsClient, RemoteJob
from whisperlive_hybrid.cli.batch.manifest import Stamp
from whisperlive_hybrid.cli.batch.report import OnOutcome, OnProgress, Outcome, Progress
from whisperlive_hybrid.errors import NotFound, RemoteFailed, ServerUnusable, WhisperLiveError
from whisperlive_hybrid.protocol.forms import AUDIO_TRACK
from whisperlive_hybrid.protocol.multilingual import MULTILINGUAL_FIELD, THRESHOLD_FIELD

UPLOADS_AT_ONCE: Final = 2
"""One is sent while the next is stored; more would only share the same line."""

JOBS_AT_ONCE: Final = 8
"""Unfinished at the server: so many that it is never idle, so few that others get their turn."""

_GOODBYE_S: Final = 5.0
"""How long an interrupted command tries to take back what it handed in."""


class JobMemory(Protocol):
    """Which job was asked for which recording, maybe by a command that has died since."""

    def job_of(self, item: Item, stamp: Stamp | None) -> str | None:
        """The job of a recording in this state."""

    def keep_job(self, item: Item, stamp: Stamp | None, job_id: str) -> bool:
        """Remember a job; False if nobody will find it again."""

    def forget_job(self, item: Item) -> None:
        """Forget the job of a recording."""


class NoJobMemory:
    """For outputs that are printed: the next command begins anew."""

    def job_of(self, item: Item, stamp: Stamp | None) -> str | None:
        """Know nothing."""
        del item, stamp
        return None

    def keep_job(self, item: Item, stamp: Stamp | None, job_id: str) -> bool:
        """Remember nothing."""
        del item, stamp, job_id
        return False

    def forget_job(self, item: Item) -> None:
        """Have nothing to forget."""


class RemoteBatch:
    """Hands recordings in, watches them, and collects their texts."""

    def __init__(
        self,
        client: JobsClient,
        fields: Fields,
        wish: Wish,
        memory: JobMemory,
        *,
        keeps_jobs: bool,
    ) -> None:
        """`fields` are those of `job_fields`; `keeps_jobs` leaves jobs to their expiry."""
        self._client = client
        self._fields = fields
        self._wish = wish
        self._memory = memory
        self._keeps_jobs = keeps_jobs
        self._uploads = anyio.Semaphore(UPLOADS_AT_ONCE)

    async def run(
        self, items: Sequence[Item], on_progress: OnProgress, on_outcome: OnOutcome
    ) -> None:
        """Have `items` read; one that fails does not stop the others.

        Raises `ServerUnusable`, and what `on_outcome` raises.
        """
        places = anyio.Semaphore(JOBS_AT_ONCE)

        async def one(item: Item) -> None:
            try:
                await self._one(item, on_progress, on_outcome)
            finally:
                places.release()

        try:
            async with anyio.create_task_group() as tasks:
                for item in items:
                    await places.acquire()
                    tasks.start_soon(one, item)
        except ExceptionGroup as group:  # the first is enough: the server has gone for all
            raise group.exceptions[0] from group.exceptions[0].__cause__

    async def _one(self, item: Item, on_progress: OnProgress, on_outcome: OnOutcome) -> None:
        stamp = None
        try:
            stamp = item.source.stamp()
            on_progress(Progress(item, 0.0, None))
            job = await self._known_job(item, stamp) or await self._submitted(item)
            result = await self._collected(job, item, stamp, on_progress)
        except ServerUnusable:
            raise
        except WhisperLiveError as error:
            on_outcome(Outcome(item, stamp, error))
            return
        if on_outcome(Outcome(item, stamp, result)) and not self._keeps_jobs:
            await self._dispose(job, item)

    async def _known_job(self, item: Item, stamp: Stamp | None) -> RemoteJob | None:
        """The job that an earlier command handed in, if the server still has it."""
        job_id = self._memory.job_of(item, stamp)
        try:
            return await self._client.job(job_id) if job_id else None
        except NotFound:
            return None

    async def _submitted(self, item: Item) -> RemoteJob:
        async with self._uploads:
            if isinstance(item.source, UrlSource):
                return await self._client.submit_url(item.source.url, self._fields)
            with await anyio.to_thread.run_sync(item.source.open) as file:
                try:
                    return await self._client.submit_file(file, item.source.filename, self._fields)
                except OSError as error:  # of the file: those of the network are translated
                    raise unreadable(error) from error

    async def _collected(
        self, job: RemoteJob, item: Item, stamp: Stamp | None, on_progress: OnProgress
    ) -> Texts:
        """The texts of a job once it is over; raises `RemoteFailed` if it has none."""
        is_found_again = self._memory.keep_job(item, stamp, job.id)
        try:
            return await self._texts(await self._ended(job, item, on_progress))
        except RemoteFailed:  # the next command shall hand it in again
            await self._dispose(job, item)
            raise
        except anyio.get_cancelled_exc_class():
            if not is_found_again:
                with anyio.move_on_after(_GOODBYE_S, shield=True):
                    await self._dispose(job, item)
            raise

    async def _ended(self, job: RemoteJob, item: Item, on_progress: OnProgress) -> RemoteJob:
        """Watch a job to its end; where there are no events, ask now and then."""
        silent = 0  # attempts in a row that told nothing
        while True:
            async with aclosing(self._client.events(job.id)) as events:
                async for news in events:
                    silent = 0
                    on_progress(Progress(item, news.done, news.total))
                    if news.is_over:
                        return news
            silent += 1
            await anyio.sleep(self._client.patience.pause(silent))
            state = await self._client.job(job.id)
            if state.is_over:
                return state
            on_progress(Progress(item, state.done, state.total))

    async def _texts(self, job: RemoteJob) -> Texts:
        if job.failure is not None:
            raise RemoteFailed(job.failure)
        texts = {
            each: await self._client.result(job.id, each, self._wish.cue_style)
            for each in self._wish.formats
        }
        return Texts(texts, job.total or job.done)

    async def _dispose(self, job: RemoteJob, item: Item) -> None:
        """Forget a job, and have the server do so; if it cannot, it will after a day."""
        self._memory.forget_job(item)
        if not self._keeps_jobs:
            with suppress(WhisperLiveError):
                await self._client.delete(job.id)


def job_fields(wish: Wish, model: str | None) -> Fields:
    """What a job is told about all recordings; what was not given is not sent."""
    options = wish.options
    given = [
        ("model", model),
        ("language", options.language),
        (MULTILINGUAL_FIELD, None if options.switch_threshold is None else "true"),
        (
            THRESHOLD_FIELD,
            None if options.switch_threshold is None else str(options.switch_threshold),
        ),
        ("prompt", options.prompt),
        ("hotwords", options.hotwords),
        ("task", options.task.value),
        (AUDIO_TRACK, None if wish.audio_track is None else str(wish.audio_track)),
        *(("timestamp_granularities[]", each.value) for each in wish.granularities),
    ]
    return [(name, value) for name, value in given if value]

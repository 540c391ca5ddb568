"""Transcribe recordings through the jobs of a server, one job for each."""

from collections.abc import Sequence
from contextlib import aclosing, suppress
from typing import Final, Protocol

import anyio
import anyio.to_thread

from whisperlive_hybrid.cli.batch.formats import BatchRequest, Texts
from whisperlive_hybrid.cli.batch.inputs import BatchItem, UrlSource, as_bad_audio
from whisperlive_hybrid.cli.batch.jobs_client import Fields, JobsClient, RemoteJob
from whisperlive_hybrid.cli.batch.manifest import SourceState
from whisperlive_hybrid.cli.batch.report import OnOutcome, OnProgress, Outcome, Progress
from whisperlive_hybrid.errors import NotFound, RemoteFailed, ServerUnusable, WhisperLiveError
from whisperlive_hybrid.protocol.forms import AUDIO_TRACK
from whisperlive_hybrid.protocol.multilingual import MULTILINGUAL_FIELD, THRESHOLD_FIELD

UPLOADS_AT_ONCE: Final = 2
"""One is sent while the next is stored; more would only share the same bandwidth."""

JOBS_AT_ONCE: Final = 8
"""Unfinished jobs: enough to keep the server busy, few enough to leave room for other clients."""

_CANCEL_S: Final = 5.0
"""Timeout of an interrupted command for deleting a job that it submitted."""


class JobRegistry(Protocol):
    """Job ids by recording, possibly submitted by an earlier command."""

    def find_job(self, item: BatchItem, state: SourceState | None) -> str | None:
        """Return the job of a recording in this state."""

    def save_job(self, item: BatchItem, state: SourceState | None, job_id: str) -> bool:
        """Record a job; False if a later command cannot find it."""

    def remove_job(self, item: BatchItem) -> None:
        """Remove the job of a recording."""


class NoJobRegistry:
    """A registry that stores nothing, for outputs that are printed."""

    def find_job(self, item: BatchItem, state: SourceState | None) -> str | None:
        """Return None."""
        del item, state
        return None

    def save_job(self, item: BatchItem, state: SourceState | None, job_id: str) -> bool:
        """Return False."""
        del item, state, job_id
        return False

    def remove_job(self, item: BatchItem) -> None:
        """Do nothing."""


class RemoteBatch:
    """Submits recordings, watches their jobs, and collects the texts."""

    def __init__(
        self,
        client: JobsClient,
        fields: Fields,
        request: BatchRequest,
        registry: JobRegistry,
        *,
        keeps_jobs: bool,
    ) -> None:
        """`fields` are those of `job_fields`; `keeps_jobs` leaves jobs until they expire."""
        self._client = client
        self._fields = fields
        self._request = request
        self._registry = registry
        self._keeps_jobs = keeps_jobs
        self._uploads = anyio.Semaphore(UPLOADS_AT_ONCE)

    async def run(
        self, items: Sequence[BatchItem], on_progress: OnProgress, on_outcome: OnOutcome
    ) -> None:
        """Transcribe `items`; one that fails does not stop the others.

        Raises `ServerUnusable`, and errors of `on_outcome`.
        """
        slots = anyio.Semaphore(JOBS_AT_ONCE)

        async def run_item(item: BatchItem) -> None:
            try:
                await self._run_item(item, on_progress, on_outcome)
            finally:
                slots.release()

        try:
            async with anyio.create_task_group() as tasks:
                for item in items:
                    await slots.acquire()
                    tasks.start_soon(run_item, item)
        except ExceptionGroup as group:  # the first is enough: the server is unusable for all
            raise group.exceptions[0] from group.exceptions[0].__cause__

    async def _run_item(
        self, item: BatchItem, on_progress: OnProgress, on_outcome: OnOutcome
    ) -> None:
        state = None
        try:
            state = item.source.read_state()
            on_progress(Progress(item, 0.0, None))
            job = await self._find_job(item, state) or await self._submit(item)
            result = await self._collect(job, item, state, on_progress)
        except ServerUnusable:
            raise
        except WhisperLiveError as error:
            on_outcome(Outcome(item, state, error))
            return
        if on_outcome(Outcome(item, state, result)) and not self._keeps_jobs:
            await self._delete_job(job, item)

    async def _find_job(self, item: BatchItem, state: SourceState | None) -> RemoteJob | None:
        """Return the job that an earlier command submitted, if the server still has it."""
        job_id = self._registry.find_job(item, state)
        try:
            return await self._client.get_job(job_id) if job_id else None
        except NotFound:
            return None

    async def _submit(self, item: BatchItem) -> RemoteJob:
        async with self._uploads:
            if isinstance(item.source, UrlSource):
                return await self._client.submit_url(item.source.url, self._fields)
            with await anyio.to_thread.run_sync(item.source.open) as file:
                try:
                    return await self._client.submit_file(file, item.source.filename, self._fields)
                except OSError as error:  # of the file: network errors are translated by httpx
                    raise as_bad_audio(error) from error

    async def _collect(
        self, job: RemoteJob, item: BatchItem, state: SourceState | None, on_progress: OnProgress
    ) -> Texts:
        """Wait for the end of a job and return its texts; raises `RemoteFailed` if it failed."""
        # Saved before waiting, so that the next command finds the job even if this one is killed.
        is_saved = self._registry.save_job(item, state, job.id)
        try:
            return await self._download(await self._wait_for_end(job, item, on_progress))
        except RemoteFailed:  # the next command submits the recording again
            await self._delete_job(job, item)
            raise
        except anyio.get_cancelled_exc_class():
            if not is_saved:  # no later command can collect it
                with anyio.move_on_after(_CANCEL_S, shield=True):
                    await self._delete_job(job, item)
            raise

    async def _wait_for_end(
        self, job: RemoteJob, item: BatchItem, on_progress: OnProgress
    ) -> RemoteJob:
        """Follow the events of a job to its end; between connections, request its state."""
        silent = 0  # connections in a row without an event
        while True:
            async with aclosing(self._client.stream_events(job.id)) as events:
                async for update in events:
                    silent = 0
                    on_progress(Progress(item, update.done, update.total))
                    if update.is_over:
                        return update
            silent += 1
            await anyio.sleep(self._client.retry_policy.pause(silent))
            update = await self._client.get_job(job.id)
            if update.is_over:
                return update
            on_progress(Progress(item, update.done, update.total))

    async def _download(self, job: RemoteJob) -> Texts:
        if job.failure is not None:
            raise RemoteFailed(job.failure)
        style = self._request.cue_style
        texts = {
            output_format: await self._client.download_result(job.id, output_format, style)
            for output_format in self._request.formats
        }
        return Texts(texts, job.total or job.done)

    async def _delete_job(self, job: RemoteJob, item: BatchItem) -> None:
        """Remove a job here and on the server, where it otherwise expires after a day."""
        self._registry.remove_job(item)
        if not self._keeps_jobs:
            with suppress(WhisperLiveError):
                await self._client.delete(job.id)


def job_fields(request: BatchRequest, model: str | None) -> Fields:
    """Return the form fields of all jobs of a batch; options that were not given are left out."""
    options = request.options
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
        (AUDIO_TRACK, None if request.audio_track is None else str(request.audio_track)),
        *(("timestamp_granularities[]", unit.value) for unit in request.granularities),
    ]
    return [(name, value) for name, value in given if value]

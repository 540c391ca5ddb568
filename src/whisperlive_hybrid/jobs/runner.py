"""Runs jobs in the order of their submission, each under a lease, until it is told to stop."""

import uuid
from dataclasses import replace
from typing import Final

import anyio
import structlog

from whisperlive_hybrid.jobs.board import LiveJob
from whisperlive_hybrid.jobs.job import Job
from whisperlive_hybrid.jobs.run import JobRun, Means
from whisperlive_hybrid.jobs.webhooks import webhook_of

LEASE_S: Final = 60.0
"""How long a job stays ours without a sign of life."""

RENEWED_S: Final = 20.0
"""How often the sign is given: two may be late."""

log = structlog.get_logger(__name__)


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
            rung = self._means.board.arrived.next_ring()
            job = await self._take()
            if job is not None:
                with structlog.contextvars.bound_contextvars(job_id=job.id):
                    await self._watched(job)
                continue
            with anyio.move_on_after(LEASE_S):  # nobody rings when a lease has run out
                await rung.wait()

    async def _take(self) -> Job | None:
        now, names = self._means.clock(), self._means.models.names
        offered = (names.first, *names.others)
        return await self._means.store.take(self._owner, offered, now, now + LEASE_S)

    async def _watched(self, job: Job) -> None:
        """Run a job where everybody can see it and whoever may can stop it."""
        live = self._means.board.running[job.id] = LiveJob(job)
        try:
            with live.scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._keep, live)
                    await self._end(live, await JobRun(live, self._means).run())
                    tasks.cancel_scope.cancel()
        finally:
            del self._means.board.running[job.id]
            live.left.set()
            self._means.board.ring(job.id)

    async def _end(self, live: LiveJob, job: Job) -> None:
        now = self._means.clock()
        ended = replace(job, finished_at=now, expires_at=now + self._kept_s)
        if await self._means.store.end_job(ended, self._owner, webhook_of(ended, now)):
            live.job = ended
            log.info("job ended", status=ended.status.value)
            self._means.board.ended.ring()

    async def _keep(self, live: LiveJob) -> None:
        """Renew the lease; a job that is lost (cancelled elsewhere, or taken) is stopped."""
        while True:
            await anyio.sleep(RENEWED_S)
            until = self._means.clock() + LEASE_S
            if not await self._means.store.renew(live.job, self._owner, until):
                log.warning("job lost")
                live.scope.cancel()

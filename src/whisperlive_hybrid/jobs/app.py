"""Jobs in one piece: the desks where they are handed in, and what works behind them."""

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final

import anyio
import structlog

from whisperlive_hybrid.auth.caller import Caller
from whisperlive_hybrid.config import JobSettings
from whisperlive_hybrid.jobs.service import JobLimits, JobService
from whisperlive_hybrid.jobs.webhooks import WebhookSender, parse_secret
from whisperlive_hybrid.jobs.worker import Runner, WorkerContext

PAUSE_S: Final = 10.0
"""Between two tries at what a full disk or a defect has interrupted."""

log = structlog.get_logger(__name__)


Work = Callable[[], Coroutine[Any, Any, None]]
"""Something that has no end, to be run as a task."""


class Jobs:
    """The desks for the doors, and what works behind them."""

    def __init__(self, context: WorkerContext, limits: JobLimits, works: Sequence[Work]) -> None:
        self._context = context
        self._limits = limits
        self._works = works

    def service_for(self, caller: Caller) -> JobService:
        """The desk as this caller sees it."""
        return JobService(self._context, self._limits, caller)

    async def run(self) -> None:
        """Run jobs until `close`; those first that an earlier process had begun."""
        async with anyio.create_task_group() as tasks:
            for work in self._works:
                tasks.start_soon(_restart_on_failure, work)
            await self._context.running.closed.wait()
            tasks.cancel_scope.cancel()

    def close(self) -> None:
        """Stop what runs, which waits in the store, and let go who watches.

        What is taken in meanwhile waits for the next start.
        """
        self._context.running.close()


async def open_jobs(context: WorkerContext, settings: JobSettings) -> Jobs:
    """Put in order what an earlier process has left, before anything new comes.

    Raises `BadRequest` for a webhook secret that is none.
    """
    secret = settings.webhook_secret
    key = parse_secret(secret.get_secret_value()) if secret else None
    kept_s = settings.job_result_hours * 3600
    limits = JobLimits(settings.job_files, settings.max_jobs, kept_s, webhooks=key is not None)
    resumed, orphans = await context.store.recover()
    if resumed or orphans:
        log.info("jobs of an earlier run", resumed=resumed, files_deleted=len(orphans))
    works: list[Work] = [Runner(context, kept_s).run] * settings.jobs_at_once
    works.append(partial(_expire, context))
    if key is not None:
        ended = context.running.ended
        works.append(WebhookSender(context.store, context.fetcher, key, ended, context.clock).run)
    return Jobs(context, limits, works)


async def _restart_on_failure(work: Work) -> None:
    """Restart a task that fails: a full disk must not end the server."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("jobs were interrupted", again_in_s=PAUSE_S)
            await anyio.sleep(PAUSE_S)


async def _expire(context: WorkerContext) -> None:
    """Delete jobs when they expire; runs until it is cancelled."""
    while True:
        changed = context.running.ended.next()
        next_expiry = await context.store.expire(context.clock())
        wait_s = None if next_expiry is None else max(0.0, next_expiry - context.clock())
        with anyio.move_on_after(wait_s):
            await changed.wait()

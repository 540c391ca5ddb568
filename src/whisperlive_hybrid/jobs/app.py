"""Jobs in one piece: the desks where they are handed in, and what works behind them."""

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final

import anyio
import structlog

from whisperlive_hybrid.auth.caller import Caller
from whisperlive_hybrid.config import Settings
from whisperlive_hybrid.jobs.service import JobLimits, JobService
from whisperlive_hybrid.jobs.webhooks import WebhookSender, parse_secret
from whisperlive_hybrid.jobs.worker import Means, Runner

PAUSE_S: Final = 10.0
"""Between two tries at what a full disk or a defect has interrupted."""

log = structlog.get_logger(__name__)


Work = Callable[[], Coroutine[Any, Any, None]]
"""Something that has no end, to be run as a task."""


class Jobs:
    """The desks for the doors, and what works behind them."""

    def __init__(self, means: Means, limits: JobLimits, works: Sequence[Work]) -> None:
        self._means = means
        self._limits = limits
        self._works = works

    def service_for(self, caller: Caller) -> JobService:
        """The desk as this caller sees it."""
        return JobService(self._means, self._limits, caller)

    async def run(self) -> None:
        """Run jobs until `close`; those first that an earlier process had begun."""
        async with anyio.create_task_group() as tasks:
            for work in self._works:
                tasks.start_soon(_kept_up, work)
            await self._means.board.closed.wait()
            tasks.cancel_scope.cancel()

    def close(self) -> None:
        """Stop what runs, which waits in the store, and let go who watches.

        What is taken in meanwhile waits for the next start.
        """
        self._means.board.close()


async def open_jobs(means: Means, settings: Settings) -> Jobs:
    """Put in order what an earlier process has left, before anything new comes.

    Raises `BadRequest` for a webhook secret that is none.
    """
    secret = settings.webhook_secret
    key = parse_secret(secret.get_secret_value()) if secret else None
    kept_s = settings.job_result_hours * 3600
    limits = JobLimits(settings.job_files, settings.max_jobs, kept_s, webhooks=key is not None)
    resumed, orphans = await means.store.recover()
    if resumed or orphans:
        log.info("jobs of an earlier run", resumed=resumed, files_deleted=len(orphans))
    works: list[Work] = [Runner(means, kept_s).run] * settings.jobs_at_once
    works.append(partial(_expire, means))
    if key is not None:
        ended = means.board.ended
        works.append(WebhookSender(means.store, means.fetcher, key, ended, means.clock).run)
    return Jobs(means, limits, works)


async def _kept_up(work: Work) -> None:
    """Begin anew whatever fails: a full disk ends no server."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("jobs were interrupted", again_in_s=PAUSE_S)
            await anyio.sleep(PAUSE_S)


async def _expire(means: Means) -> None:
    """Delete jobs when their time has come; to be run as a task, and cancelled."""
    while True:
        changed = means.board.ended.next()
        next_expiry = await means.store.expire(means.clock())
        wait_s = None if next_expiry is None else max(0.0, next_expiry - means.clock())
        with anyio.move_on_after(wait_s):
            await changed.wait()

"""Jobs in one piece: the desk where they are handed in, and what works behind it."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import anyio
import structlog

from whisperlive_hybrid.config import Settings
from whisperlive_hybrid.jobs.desk import JobDesk, JobLimits
from whisperlive_hybrid.jobs.run import Means
from whisperlive_hybrid.jobs.runner import Runner
from whisperlive_hybrid.jobs.webhooks import Webhooks
from whisperlive_hybrid.progress import Bell
from whisperlive_hybrid.protocol.webhook import key_of

PAUSE_S: Final = 10.0
"""Between two tries at what a full disk or a defect has interrupted."""

log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_jobs(means: Means, settings: Settings) -> AsyncIterator[JobDesk]:
    """Run jobs while inside, those first that an earlier process had begun.

    On leaving, whatever runs stops at once and waits in the store. Raises `BadRequest` for a
    webhook secret that is none.
    """
    secret = settings.webhook_secret
    key = key_of(secret.get_secret_value()) if secret else None
    kept_s = settings.job_result_hours * 3600
    limits = JobLimits(settings.job_files, settings.max_jobs, kept_s, webhooks=key is not None)
    arrived, ended = Bell(), Bell()
    resumed, orphans = await means.store.tidy()
    if resumed or orphans:
        log.info("jobs of an earlier run", resumed=resumed, files_deleted=len(orphans))
    runner = Runner(means, kept_s, arrived, ended)
    async with anyio.create_task_group() as tasks:
        for _ in range(settings.jobs_at_once):
            tasks.start_soon(_kept_up, runner.run)
        tasks.start_soon(_kept_up, partial(_expire, means, ended))
        if key is not None:
            webhooks = Webhooks(means.store, means.fetcher, key, ended, means.clock)
            tasks.start_soon(_kept_up, webhooks.run)
        yield JobDesk(means, limits, arrived, ended)
        means.board.close()
        tasks.cancel_scope.cancel()


async def _kept_up(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Do work that has no end, and begin anew if it fails: a full disk ends no server."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("jobs were interrupted", again_in_s=PAUSE_S)
            await anyio.sleep(PAUSE_S)


async def _expire(means: Means, ended: Bell) -> None:
    """Delete jobs when their time has come; to be run as a task, and cancelled."""
    while True:
        rung = ended.next_ring()
        next_expiry = await means.store.expire(means.clock())
        wait_s = None if next_expiry is None else max(0.0, next_expiry - means.clock())
        with anyio.move_on_after(wait_s):
            await rung.wait()

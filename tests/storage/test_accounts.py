"""What the doors know of callers, over the end of a server."""

from pathlib import Path

import anyio
import pytest

from whisperlive_hybrid.auth.caller import ApiKey, Caller
from whisperlive_hybrid.auth.usage import Usage
from whisperlive_hybrid.config import Settings
from whisperlive_hybrid.errors import DayUsedUp
from whisperlive_hybrid.storage.usage_recorder import open_accounts

pytestmark = pytest.mark.anyio

LAST_SECOND = 1_764_115_199.0
"""2025-11-25 23:59:59 UTC."""
HOLDER = Caller("192.0.2.1", ApiKey("7f", "captions"))


async def test_a_restart_gives_nobody_a_second_day(tmp_path: Path) -> None:
    """What a key has had today counts in the next process as well, and at midnight no more."""
    settings = Settings(data_dir=tmp_path, audio_s_per_day=60)
    async with (
        open_accounts(settings, clock=lambda: LAST_SECOND) as accounts,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(accounts.recorder.run)
        await anyio.wait_all_tasks_blocked()
        accounts.quotas.add(HOLDER.account, Usage(file_s=60.0))
        tasks.cancel_scope.cancel()
    async with open_accounts(settings, clock=lambda: LAST_SECOND) as accounts:
        with pytest.raises(DayUsedUp):
            accounts.quotas.admit(HOLDER)
    async with open_accounts(settings, clock=lambda: LAST_SECOND + 1) as accounts:
        accounts.quotas.admit(HOLDER)

"""What a server does for itself while it runs."""

from typing import Final

import anyio
import anyio.to_thread

from whisperlive_hybrid.tuning import give_back

EVERY_S: Final = 60.0
"""Measured: two workers on 30 s windows of base fetch 28,000 pages again each time, which is 0.1 s
of one core in 60 s."""


async def keep_small() -> None:
    """Give free memory back every minute, so that a crowd that has left costs nothing.

    To be run as a task; returns where the allocator cannot do it.
    """
    can_do_it = True
    while can_do_it:
        await anyio.sleep(EVERY_S)
        can_do_it = await anyio.to_thread.run_sync(give_back)

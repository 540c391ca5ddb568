"""What a server does for itself while it runs."""

from typing import Final

import anyio
import anyio.to_thread

from whisperlive_hybrid.tuning import give_back

EVERY_S: Final = 60.0
"""A model that works all the time loses less than 0.2 % of a core by it."""


async def keep_small() -> None:
    """Give free memory back every minute, so that a crowd that has left costs nothing.

    To be run as a task; returns where the allocator cannot do it.
    """
    can_do_it = True
    while can_do_it:
        await anyio.sleep(EVERY_S)
        can_do_it = await anyio.to_thread.run_sync(give_back)

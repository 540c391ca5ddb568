"""A notification that any number of tasks can wait for, again and again."""

import anyio


class Notifier:
    """Wakes every task that waits at that moment.

    A task takes `next()`, looks at the state, and waits only if there was nothing new. So no
    change between the look and the wait is missed, and a slow task skips states instead of
    queueing them.
    """

    def __init__(self) -> None:
        self._next = anyio.Event()

    def next(self) -> anyio.Event:
        """Return the event that the next `notify` sets."""
        return self._next

    def notify(self) -> None:
        """Wake every task that waits."""
        current, self._next = self._next, anyio.Event()
        current.set()

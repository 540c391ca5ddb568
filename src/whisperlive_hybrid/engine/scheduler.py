"""Chooses the work that runs next: bookkeeping over waiting items, with the time as an argument.

An item is one task of a job, such as an encode, not a whole window: after each task the engine adds
the next one. A batch is the most urgent item with the others that may share its call. Live work
runs first, finals before updates, then the earliest deadline. Files fill the gaps, by deadline
alone, so that a short file overtakes a long one but no file waits for ever:

- while a live stream is open, files leave one worker free, if there is more than one, and their
  calls are kept short by what such calls have taken before;
- when live work never pauses, files still get `bulk_share` of the workers' time.
"""

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

from whisperlive_hybrid.errors import Overloaded
from whisperlive_hybrid.types import Urgency

DEFAULT_BULK_SHARE: Final = 0.1
"""What files are guaranteed of the workers' time while live streams want all of it."""

SHORT_CALL_S: Final = 0.5
"""What a call for files may be expected to take while a live stream is open."""

_RETRY_AFTER_S: Final = 5.0
_LEARNING_RATE: Final = 0.2


@dataclass(frozen=True, slots=True)
class Item:
    """One quantum of work that waits; times are on the clock of `take(now)`, in seconds."""

    job: int
    """Whose work it is: one job has at most one item waiting or running."""
    urgency: Urgency
    deadline: float
    key: Hashable
    """Items of equal keys may share a call."""
    batch_limit: int
    """How many items a call with this key may hold."""
    gathers_until: float | None = None
    """Until when it may wait for company (a generate); None for what gains nothing from it."""
    alone: bool = False
    """Its batch has failed: it must run by itself, to find out who is to blame."""


class Scheduler:
    """The queue of one engine. Not thread-safe: the engine holds its lock."""

    def __init__(self, *, workers: int, limit: int, bulk_share: float = DEFAULT_BULK_SHARE) -> None:
        """Past `limit` windows of files, waiting or running, no new recording is begun."""
        self._workers = workers
        self._limit = limit
        self._bulk_share = bulk_share
        self._waiting: dict[int, Item] = {}
        self._admitted: dict[int, Urgency] = {}
        self._busy = 0  # calls that run
        self._file_calls = 0  # of those, for files
        self._owed_s = 0.0  # worker time that files may claim from live work; negative: overdrawn
        self._claim: int | None = None  # first job of the file call that runs on claimed time
        self._item_s: dict[Hashable, float] = {}  # learned: seconds per item of a call, by key
        self.live_streams = 0

    def __repr__(self) -> str:
        waiting = ", ".join(f"{u.name.lower()} {n}" for u, n in sorted(self.waiting.items()))
        return f"<Scheduler {self._busy}/{self._workers} busy, waiting: {waiting or 'nothing'}>"

    @property
    def waiting(self) -> Counter[Urgency]:
        """Items that wait, by class."""
        return Counter(item.urgency for item in self._waiting.values())

    @property
    def admitted(self) -> int:
        """Jobs that wait or run."""
        return len(self._admitted)

    @property
    def is_busy(self) -> bool:
        """Whether every worker runs a call."""
        return self._busy >= self._workers

    @property
    def is_full(self) -> bool:
        """Whether `admit` refuses what begins."""
        return self._n_files >= self._limit

    def admit(self, item: Item, *, continues: bool = False) -> None:
        """Take the first item of a new job; raises `Overloaded` past the bound.

        Refused is only what begins: a live stream is bounded where it connects, and the later
        windows of a recording (`continues`) by how many of them it keeps here at once. A file that
        was once accepted is read to its end.
        """
        if not continues and not item.urgency.is_live and self.is_full:
            raise Overloaded(
                f"The server is busy: {self._n_files} windows are waiting.",
                retry_after_s=_RETRY_AFTER_S,
            )
        self._admitted[item.job] = item.urgency
        self._waiting[item.job] = item

    def resume(self, item: Item) -> None:
        """Take the next item of a job that was admitted before."""
        if item.job in self._admitted:
            self._waiting[item.job] = item

    def take(self, now: float) -> list[Item]:
        """Return the next batch for a free worker; empty if nothing may start now."""
        live = [item for item in self._waiting.values() if item.urgency.is_live]
        files = [item for item in self._waiting.values() if not item.urgency.is_live]
        # There are three cases.
        if files and live:
            # Both wait: files run only on time that they have earned, one call at a time.
            are_files_next = self._owed_s > 0 and self._file_calls == 0
        elif files:
            # While a live stream is open one worker stays free, since an utterance may end at any
            # moment; a single worker cannot wait for that.
            is_last_free = self._workers - self._busy <= 1
            are_files_next = not (is_last_free and self.live_streams and self._workers > 1)
        else:
            are_files_next = False
        candidates = files if are_files_next else live
        if not candidates:
            return []
        head = _most_urgent(candidates, now)
        batch = [head]
        if not head.alone:
            others = [item for item in candidates if item is not head and _may_share(item, head)]
            batch += sorted(others, key=_order)[: self._batch_limit(head) - 1]
        for item in batch:
            del self._waiting[item.job]
        self._busy += 1
        if are_files_next:
            self._file_calls += 1
            if live:
                self._claim = head.job
        return batch

    def finish(self, batch: list[Item], seconds: float) -> None:
        """Record a batch that took `seconds`; its jobs are resumed or ended next."""
        self._busy -= 1
        head, cost = batch[0], seconds / len(batch)
        known = self._item_s.get(head.key, cost)
        # Recent calls count most: other programs may have come or gone.
        self._item_s[head.key] = known + _LEARNING_RATE * (cost - known)
        if head.urgency.is_live:
            if any(not item.urgency.is_live for item in self._waiting.values()):
                # Files earn their share of the time that live work takes while they wait.
                self._owed_s += seconds * self._bulk_share / (1 - self._bulk_share)
            return
        self._file_calls -= 1
        left = self._owed_s - seconds
        if head.job == self._claim:
            # Claimed from live work: paid to the last second, even into debt.
            self._owed_s, self._claim = left, None
        else:
            # Idle time costs nothing, but uses up what was earned before.
            self._owed_s = min(self._owed_s, max(0.0, left))

    def end(self, job: int) -> None:
        """Forget a job: it is done, failed or cancelled. What still runs for it is ignored."""
        self._admitted.pop(job, None)
        self._waiting.pop(job, None)

    def lateness(self, now: float) -> float:
        """By how many seconds the most overdue final is late; 0.0 while all are in time."""
        due = (i.deadline for i in self._waiting.values() if i.urgency is Urgency.FINAL)
        return max(0.0, now - min(due, default=now))

    @property
    def _n_files(self) -> int:
        return sum(not urgency.is_live for urgency in self._admitted.values())

    def _batch_limit(self, head: Item) -> int:
        """Return how many items a call may hold: fewer for files while a live stream is open."""
        cost = self._item_s.get(head.key, 0.0)
        if head.urgency.is_live or not self.live_streams or cost == 0.0:
            return head.batch_limit
        return max(1, min(head.batch_limit, int(SHORT_CALL_S / cost)))


def _most_urgent(items: list[Item], now: float) -> Item:
    """Return the first of `items`, leaving out those that still gather if others can run.

    A generate waits a little for others to share its call while encodes are there to run: on the
    CPU a batched generate costs a third per item, and a batched encode gains nothing.
    """
    ready = Counter(item.key for item in items)
    first_encode = min((i.urgency for i in items if i.gathers_until is None), default=None)

    def gathers(item: Item) -> bool:
        return (
            item.gathers_until is not None
            and now < item.gathers_until
            and not item.alone
            and ready[item.key] < item.batch_limit
            and first_encode is not None
            and first_encode <= item.urgency
        )

    return min((item for item in items if not gathers(item)), key=_order)


def _may_share(item: Item, head: Item) -> bool:
    """Whether an item may run in the call of `head`.

    A call for a short file takes no window of a long one along: it would last three times as long.
    """
    is_longer_file = head.urgency is Urgency.SHORT_FILE and item.urgency > head.urgency
    return item.key == head.key and not item.alone and not is_longer_file


def _order(item: Item) -> tuple[int, float, int]:
    """Finals, then updates, then files; inside of each the earliest deadline."""
    side = item.urgency if item.urgency.is_live else Urgency.SHORT_FILE
    return side, item.deadline, item.job

"""Which work runs next: pure bookkeeping over items that wait, with the time as an argument.

An item is one quantum of model work, an encode or a generate, not a whole window: after each the
engine hands in the next one. A batch is the most urgent item with whatever else may share its call.
Live work goes first, finals before updates, then the earliest deadline. A call for a short file
takes no window of a long one along, which would make it last three times as long. Files fill the
gaps, by deadline alone, so that a short file overtakes a long one but no file waits for ever:

- while a live stream is open, files leave one worker free, if there is more than one, and their
  calls are kept short by what such calls have taken before;
- when live work never pauses, files still get `bulk_share` of the workers' time.

A generate waits a little for company while encodes are there to run, because on the CPU a batched
generate costs a third per item and a batched encode gains nothing.
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
        """The next batch for a free worker; empty if nothing may start now."""
        head = self._head(now)
        if head is None:
            return []
        batch = [head]
        if not head.alone:
            batch += self._companions(head)
        for item in batch:
            del self._waiting[item.job]
        self._busy += 1
        if not head.urgency.is_live:
            self._file_calls += 1
            self._claim = head.job if self._waits(live=True) else self._claim
        return batch

    def ran(self, batch: list[Item], seconds: float) -> None:
        """A batch has come back after `seconds`; its jobs are resumed or ended next."""
        self._busy -= 1
        self._learn(batch, seconds)
        if batch[0].urgency.is_live:
            share = self._bulk_share / (1 - self._bulk_share)
            self._owed_s += seconds * share if self._waits(live=False) else 0.0
        else:
            self._file_calls -= 1
            self._charge(batch[0].job, seconds)

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

    def _learn(self, batch: list[Item], seconds: float) -> None:
        """Remember what an item of this key costs; recent calls count most."""
        key, cost = batch[0].key, seconds / len(batch)
        known = self._item_s.get(key, cost)
        self._item_s[key] = known + _LEARNING_RATE * (cost - known)

    def _charge(self, job: int, seconds: float) -> None:
        """Book a file call: claimed time is paid to the last second, idle time costs nothing."""
        left = self._owed_s - seconds
        if job == self._claim:
            self._owed_s, self._claim = left, None
        else:
            self._owed_s = min(self._owed_s, max(0.0, left))

    def _waits(self, *, live: bool) -> bool:
        return any(item.urgency.is_live is live for item in self._waiting.values())

    def _head(self, now: float) -> Item | None:
        live = [item for item in self._waiting.values() if item.urgency.is_live]
        files = [item for item in self._waiting.values() if not item.urgency.is_live]
        if files and self._files_may_start(live_waits=bool(live)):
            return _most_urgent(files, now)
        return _most_urgent(live, now) if live else None

    def _files_may_start(self, *, live_waits: bool) -> bool:
        if live_waits:
            return self._owed_s > 0 and self._file_calls == 0
        is_last_free = self._workers - self._busy <= 1
        return not (is_last_free and self.live_streams and self._workers > 1)

    def _companions(self, head: Item) -> list[Item]:
        fitting = [
            item
            for item in self._waiting.values()
            if item is not head
            and item.key == head.key
            and _may_accompany(item.urgency, head.urgency)
            and not item.alone
        ]
        return sorted(fitting, key=_order)[: self._batch_size(head) - 1]

    def _batch_size(self, head: Item) -> int:
        """How many items a call may hold: fewer for files while somebody speaks."""
        cost = self._item_s.get(head.key, 0.0)
        if head.urgency.is_live or not self.live_streams or cost == 0.0:
            return head.batch_limit
        return max(1, min(head.batch_limit, int(SHORT_CALL_S / cost)))


def _most_urgent(items: list[Item], now: float) -> Item:
    """The first of items of one side, leaving out those that still gather if others can run."""
    ready = Counter(item.key for item in items)
    running_first = min((i.urgency for i in items if i.gathers_until is None), default=None)

    def gathers(item: Item) -> bool:
        return (
            item.gathers_until is not None
            and now < item.gathers_until
            and not item.alone
            and ready[item.key] < item.batch_limit
            and running_first is not None
            and running_first <= item.urgency
        )

    return min((i for i in items if not gathers(i)), key=_order)


def _may_accompany(item: Urgency, head: Urgency) -> bool:
    """Live work keeps to itself, and nothing rides along that would make a short file wait."""
    return item.is_live == head.is_live and not (head is Urgency.SHORT_FILE and item > head)


def _order(item: Item) -> tuple[int, float, int]:
    """Finals, then updates, then files; inside of each the earliest deadline."""
    side = item.urgency if item.urgency.is_live else Urgency.SHORT_FILE
    return side, item.deadline, item.job

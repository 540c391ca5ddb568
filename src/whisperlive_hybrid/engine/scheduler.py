"""Which work runs next: pure bookkeeping over items that wait, with the time as an argument.

An item is one quantum of model work, an encode or a generate, not a whole window: after each the
engine hands in the next one. Live work goes first; inside a class the earliest deadline does. A
batch is the most urgent item with whatever else may share its call. Files fill the gaps:

- while a live stream is open, files leave one worker free, if there is more than one;
- when live work never pauses, files still get `bulk_share` of the workers' time;
- among files, encodes run ahead of generates until a full batch is ready to be generated together,
  because on the CPU a batched generate costs a third per item and a batched encode gains nothing.
"""

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

from whisperlive_hybrid.errors import Overloaded
from whisperlive_hybrid.types import Urgency

DEFAULT_BULK_SHARE: Final = 0.1
"""What files are guaranteed of the workers' time while live streams want all of it."""

_RETRY_AFTER_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Item:
    """One quantum of work that waits. `deadline` is on the clock of `now`, in seconds."""

    job: int
    """Whose work it is: one job has at most one item waiting or running."""
    urgency: Urgency
    deadline: float
    key: Hashable
    """Items of equal keys may share a call."""
    batch_limit: int
    """How many items a call with this key may hold."""
    gathers: bool = False
    """Whether it gains from waiting until more of its key are there (a generate)."""
    alone: bool = False
    """Its batch has failed: it must run by itself, to find out who is to blame."""


class Scheduler:
    """The queue of one engine. Not thread-safe: the engine holds its lock."""

    def __init__(self, *, workers: int, limit: int, bulk_share: float = DEFAULT_BULK_SHARE) -> None:
        """`limit` bounds the jobs admitted at once, waiting or running."""
        self._workers = workers
        self._limit = limit
        self._bulk_share = bulk_share
        self._waiting: dict[int, Item] = {}
        self._admitted: set[int] = set()
        self._busy = 0  # calls that run
        self._file_calls = 0  # of those, for files
        self._owed_s = 0.0  # worker time that files may claim from live work; negative: overdrawn
        self._claim: int | None = None  # first job of the file call that runs on claimed time
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

    def admit(self, item: Item) -> None:
        """Take the first item of a new job; raises `Overloaded` past the bound.

        Live work of an admitted stream is never refused: streams are bounded where they connect.
        """
        if not item.urgency.is_live and len(self._admitted) >= self._limit:
            raise Overloaded(
                f"The server is busy: {len(self._admitted)} windows are waiting.",
                retry_after_s=_RETRY_AFTER_S,
            )
        self._admitted.add(item.job)
        self._waiting[item.job] = item

    def resume(self, item: Item) -> None:
        """Take the next item of a job that was admitted before."""
        if item.job in self._admitted:
            self._waiting[item.job] = item

    def take(self) -> list[Item]:
        """The next batch for a free worker; empty if nothing may start now."""
        head = self._head()
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
            self._claim = head.job if self._live_waits() else self._claim
        return batch

    def ran(self, batch: list[Item], seconds: float) -> None:
        """A batch has come back after `seconds`; its jobs are resumed or ended next."""
        self._busy -= 1
        if batch[0].urgency.is_live:
            share = self._bulk_share / (1 - self._bulk_share)
            self._owed_s += seconds * share if self._file_waits() else 0.0
        else:
            self._file_calls -= 1
            self._charge(batch[0].job, seconds)

    def end(self, job: int) -> None:
        """Forget a job: it is done, failed or cancelled. What still runs for it is ignored."""
        self._admitted.discard(job)
        self._waiting.pop(job, None)

    def _charge(self, job: int, seconds: float) -> None:
        """Book a file call: claimed time is paid to the last second, idle time costs nothing."""
        left = self._owed_s - seconds
        if job == self._claim:
            self._owed_s, self._claim = left, None
        else:
            self._owed_s = min(self._owed_s, max(0.0, left))

    def _file_waits(self) -> bool:
        return any(not item.urgency.is_live for item in self._waiting.values())

    def _live_waits(self) -> bool:
        return any(item.urgency.is_live for item in self._waiting.values())

    def _head(self) -> Item | None:
        live = [item for item in self._waiting.values() if item.urgency.is_live]
        files = [item for item in self._waiting.values() if not item.urgency.is_live]
        if files and self._files_may_start(live_waits=bool(live)):
            return self._first_file(files)
        return min(live, key=_order, default=None)

    def _files_may_start(self, *, live_waits: bool) -> bool:
        if live_waits:
            return self._owed_s > 0 and self._file_calls == 0
        is_last_free = self._workers - self._busy <= 1
        return not (is_last_free and self.live_streams and self._workers > 1)

    def _first_file(self, files: list[Item]) -> Item:
        urgency = min(item.urgency for item in files)
        candidates = [item for item in files if item.urgency == urgency]
        ready = Counter(item.key for item in candidates if item.gathers)
        unhurried = [
            item
            for item in candidates
            if item.gathers and not item.alone and ready[item.key] < item.batch_limit
        ]
        if len(unhurried) < len(candidates):
            held = {item.job for item in unhurried}
            candidates = [item for item in candidates if item.job not in held]
        return min(candidates, key=_order)

    def _companions(self, head: Item) -> list[Item]:
        fitting = [
            item
            for item in self._waiting.values()
            if item is not head
            and item.key == head.key
            and item.urgency.is_live == head.urgency.is_live
            and not item.alone
        ]
        return sorted(fitting, key=_order)[: head.batch_limit - 1]


def _order(item: Item) -> tuple[int, float, int]:
    return item.urgency, item.deadline, item.job

"""What is told of the recordings of a batch while they are read, and when that is over."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from rich.markup import escape
from rich.progress import Progress as RichProgress
from rich.progress import TaskID

from whisperlive_hybrid.cli.batch.formats import Texts
from whisperlive_hybrid.cli.batch.inputs import Item
from whisperlive_hybrid.cli.batch.manifest import Stamp
from whisperlive_hybrid.cli.terminal import complain, err, note
from whisperlive_hybrid.errors import WhisperLiveError


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a recording is: seconds of it that are read, of `total` if that is known."""

    item: Item
    done: float
    total: float | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one recording: texts, or the reason why there are none."""

    item: Item
    stamp: Stamp | None
    """Its state before it was read; None where it has none that could be compared."""
    result: Texts | WhisperLiveError


OnProgress = Callable[[Progress], None]

OnOutcome = Callable[[Outcome], bool]
"""Says whether the texts lie where they belong."""


class Screen:
    """A bar for each recording that is being read, and one for all; lines for what is over.

    Where standard error is no terminal, only the lines.
    """

    def __init__(self, n_items: int, *, names_files: bool) -> None:
        """`names_files`: say of each recording that it is done."""
        self._names_files = names_files
        self._bars = RichProgress(console=err, transient=True)
        self._tasks: dict[Item, TaskID] = {}
        self._all = self._bars.add_task("all", total=n_items, visible=n_items > 1)

    def __enter__(self) -> Self:
        if err.is_terminal:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if err.is_terminal:
            self._bars.stop()

    def update(self, news: Progress) -> None:
        """Move the bar of a recording."""
        if news.item not in self._tasks:
            label = escape(news.item.source.label.rpartition("/")[2])
            self._tasks[news.item] = self._bars.add_task(label, total=None)
        self._bars.update(self._tasks[news.item], completed=news.done, total=news.total)

    def done(self, item: Item) -> None:
        """Take a recording off the screen."""
        self._over(item)
        if self._names_files:
            note(f"{item.source.label}: done")

    def failed(self, item: Item, error: WhisperLiveError) -> None:
        """Say why there is nothing of a recording."""
        self._over(item)
        complain(f"{item.source.label}: {error.message}")

    def _over(self, item: Item) -> None:
        if (task := self._tasks.pop(item, None)) is not None:
            self._bars.remove_task(task)
        self._bars.advance(self._all)

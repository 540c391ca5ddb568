"""Progress and outcome of the recordings of a batch, on standard error."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from rich.markup import escape
from rich.progress import Progress as RichProgress
from rich.progress import TaskID

from whisperlive_hybrid.cli.batch.formats import Texts
from whisperlive_hybrid.cli.batch.inputs import BatchItem
from whisperlive_hybrid.cli.batch.manifest import SourceState
from whisperlive_hybrid.cli.terminal import err, note, print_error
from whisperlive_hybrid.errors import WhisperLiveError


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of one recording, in seconds of audio."""

    item: BatchItem
    done: float
    total: float | None
    """None while unknown."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one recording: its texts, or the error that prevented them."""

    item: BatchItem
    state: SourceState | None
    """The recording's state before it was read; None where there is none to compare."""
    result: Texts | WhisperLiveError


OnProgress = Callable[[Progress], None]

OnOutcome = Callable[[Outcome], bool]
"""Returns True if the texts have been written or will be."""


class ProgressDisplay:
    """A bar for each recording in progress and one for all; a line for each that has ended.

    Where standard error is not a terminal, only the lines.
    """

    def __init__(self, n_items: int, *, names_files: bool) -> None:
        """`names_files`: print a line for each recording that is done."""
        self._names_files = names_files
        self._bars = RichProgress(console=err, transient=True)
        self._tasks: dict[BatchItem, TaskID] = {}
        self._all = self._bars.add_task("all", total=n_items, visible=n_items > 1)

    def __enter__(self) -> Self:
        if err.is_terminal:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if err.is_terminal:
            self._bars.stop()

    def update(self, progress: Progress) -> None:
        """Move the bar of a recording."""
        item = progress.item
        if item not in self._tasks:
            label = escape(item.source.label.rpartition("/")[2])
            self._tasks[item] = self._bars.add_task(label, total=None)
        self._bars.update(self._tasks[item], completed=progress.done, total=progress.total)

    def show_done(self, item: BatchItem) -> None:
        """Remove the bar of a recording that is done."""
        self._remove_bar(item)
        if self._names_files:
            note(f"{item.source.label}: done")

    def show_failure(self, item: BatchItem, error: WhisperLiveError) -> None:
        """Remove the bar of a recording that failed, and print the error."""
        self._remove_bar(item)
        print_error(f"{item.source.label}: {error.message}")

    def _remove_bar(self, item: BatchItem) -> None:
        if (task := self._tasks.pop(item, None)) is not None:
            self._bars.remove_task(task)
        self._bars.advance(self._all)

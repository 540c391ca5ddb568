"""A batch from its plan to its last line: what is left to do, the work, the summary."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from whisperlive_hybrid.batch.delivery import Delivery, InOrder, Printer, Tally
from whisperlive_hybrid.batch.directory import OutputDirectory
from whisperlive_hybrid.batch.formats import Wish
from whisperlive_hybrid.batch.interruption import Terminated
from whisperlive_hybrid.batch.manifest import digest
from whisperlive_hybrid.batch.outcome import OnOutcome
from whisperlive_hybrid.batch.plan import Item
from whisperlive_hybrid.batch.remote import JobMemory, NoJobMemory
from whisperlive_hybrid.batch.screen import Screen
from whisperlive_hybrid.batch.ways import Way, made_by
from whisperlive_hybrid.terminal import FAILED, INTERRUPTED, TERMINATED, note


@dataclass(frozen=True, slots=True)
class Order:
    """What the user wants."""

    items: Sequence[Item]
    wish: Wish
    way: Way
    output_dir: Path | None
    """None to print."""
    overwrites: bool


def carry_out(order: Order) -> int:
    """Do it, tell about it, and return the exit code.

    Raises what concerns the whole batch: a model or server that is not to be had, a full disk.
    """
    tally = Tally()
    if order.output_dir is None:
        screen = Screen(len(order.items), names_files=False)
        printer = Printer(has_headers=len(order.items) > 1)
        delivery = Delivery(printer, tally, screen.done, screen.failed)
        in_order = InOrder(order.items, delivery.take)
        return _worked(order, order.items, NoJobMemory(), screen, in_order.take, tally)
    directory = _directory(order, order.output_dir)
    todo = order.items if order.overwrites else directory.undone(order.items)
    tally.before = len(order.items) - len(todo)
    if tally.before:
        note(f"{tally.before} of {len(order.items)} done before.")
    screen = Screen(len(todo), names_files=True)
    delivery = Delivery(directory, tally, screen.done, screen.failed)
    return _worked(order, todo, directory, screen, delivery.take, tally)


def _directory(order: Order, path: Path) -> OutputDirectory:
    options = digest(made_by(order.way, order.wish))
    directory = OutputDirectory(path, order.wish.formats, options)
    directory.prepare()
    return directory


def _worked(
    order: Order,
    todo: Sequence[Item],
    memory: JobMemory,
    screen: Screen,
    take: OnOutcome,
    tally: Tally,
) -> int:
    """Have everything read; the exit code."""
    began = time.monotonic()
    code = None
    try:
        if todo:  # else there is no reason to load a model
            run = order.way.ready(order.wish)
            began = time.monotonic()
            with screen:
                run(todo, memory, screen.update, take)
        code = FAILED if tally.failed else 0
    except KeyboardInterrupt as interruption:
        note("Interrupted.")
        code = TERMINATED if isinstance(interruption, Terminated) else INTERRUPTED
    finally:  # after a fault of the whole batch too, if there is anything to tell
        if code is not None or tally.done or tally.failed:
            note(tally.summary(len(order.items), time.monotonic() - began))
    return code

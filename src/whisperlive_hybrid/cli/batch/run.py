"""A batch from its plan to its last line: what is left to do, the work, the summary."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVarTuple

import anyio

from whisperlive_hybrid.backends.registry import load_backend
from whisperlive_hybrid.cli.batch.formats import Wish
from whisperlive_hybrid.cli.batch.inputs import Item
from whisperlive_hybrid.cli.batch.jobs_client import Patience, open_client
from whisperlive_hybrid.cli.batch.local import transcribe_here
from whisperlive_hybrid.cli.batch.manifest import digest
from whisperlive_hybrid.cli.batch.outputs import Delivery, InOrder, OutputDirectory, Printer, Tally
from whisperlive_hybrid.cli.batch.remote import JobMemory, NoJobMemory, RemoteBatch, job_fields
from whisperlive_hybrid.cli.batch.report import OnOutcome, OnProgress, Screen
from whisperlive_hybrid.cli.terminal import FAILED, INTERRUPTED, TERMINATED, note, pull_screen
from whisperlive_hybrid.config import Settings
from whisperlive_hybrid.protocol.openai.cue_fields import cue_params

Arguments = TypeVarTuple("Arguments")


class Terminated(KeyboardInterrupt):
    """SIGTERM has come."""


def run_terminable(work: Callable[[*Arguments], Awaitable[None]], *arguments: *Arguments) -> None:
    """`anyio.run`, whose work SIGTERM cancels; raises `Terminated` then. Main thread only.

    Also where SIGINT is ignored, as in what a script runs in the background.
    """

    async def cancellable() -> bool:
        loop = asyncio.get_running_loop()
        with anyio.CancelScope() as scope:
            loop.add_signal_handler(signal.SIGTERM, scope.cancel)
            try:
                await work(*arguments)
            finally:
                loop.remove_signal_handler(signal.SIGTERM)
        return scope.cancelled_caught

    if anyio.run(cancellable):
        raise Terminated


class Run(Protocol):
    """A way that is ready to go."""

    def __call__(
        self, items: Sequence[Item], memory: JobMemory, progress: OnProgress, outcome: OnOutcome
    ) -> None:
        """Have all `items` read; blocks."""


class Way(Protocol):
    """How recordings are read."""

    @property
    def takes_urls(self) -> bool:
        """Whether recordings may lie elsewhere."""

    def made_with(self) -> Mapping[str, object]:
        """What the text depends on, besides the recording and the wish; JSON can hold it."""

    def ready(self, wish: Wish) -> Run:
        """Load what it takes."""


@dataclass(frozen=True, slots=True)
class Here:
    """With a model in this process."""

    settings: Settings
    takes_urls: bool = False

    def made_with(self) -> Mapping[str, object]:
        """The model, and how it is run."""
        settings = self.settings
        return {
            "model": settings.model,
            "model_card": str(settings.model_card) if settings.model_card else None,
            "backend": settings.backend,
            "device": settings.device,
            "compute_type": settings.compute_type,
        }

    def ready(self, wish: Wish) -> Run:
        """Load the model; raises `ModelUnavailable`, and `Unsupported` for such a wish."""
        with pull_screen() as on_progress:
            backend = load_backend(self.settings, on_progress=on_progress)

        def run(
            items: Sequence[Item], memory: JobMemory, progress: OnProgress, outcome: OnOutcome
        ) -> None:
            del memory  # a recording that was interrupted begins anew
            run_terminable(transcribe_here, backend, self.settings, items, wish, progress, outcome)

        return run


@dataclass(frozen=True, slots=True)
class There:
    """Through /v1/jobs of a server."""

    url: str
    model: str | None
    """One of the server's; None for its own choice."""
    api_key: str | None
    keeps_jobs: bool
    takes_urls: bool = True

    def made_with(self) -> Mapping[str, object]:
        """The server, which may have a model of its own choice, and the model it was told."""
        return {"server": self.url, "model": self.model}

    def ready(self, wish: Wish) -> Run:
        """Nothing to load."""

        async def run_there(
            items: Sequence[Item], memory: JobMemory, progress: OnProgress, outcome: OnOutcome
        ) -> None:
            fields = job_fields(wish, self.model)
            async with open_client(self.url, self.api_key, Patience()) as client:
                batch = RemoteBatch(client, fields, wish, memory, keeps_jobs=self.keeps_jobs)
                await batch.run(items, progress, outcome)

        def run(
            items: Sequence[Item], memory: JobMemory, progress: OnProgress, outcome: OnOutcome
        ) -> None:
            run_terminable(run_there, items, memory, progress, outcome)

        return run


def made_by(way: Way, wish: Wish) -> Mapping[str, object]:
    """Everything that a text depends on, besides the recording."""
    options = wish.options
    return {
        **way.made_with(),
        "language": options.language,
        "task": options.task.value,
        "words": options.words,
        "prompt": options.prompt,
        "hotwords": options.hotwords,
        "beam_size": options.beam_size,
        # Left out where none is chosen, so that what earlier versions wrote still counts as done.
        **({} if wish.audio_track is None else {"audio_track": wish.audio_track}),
        **(
            {}
            if options.switch_threshold is None
            else {"language_detection_threshold": options.switch_threshold}
        ),
        **cue_params(wish.cue_style),  # absent where none is given, as in older manifests
    }


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

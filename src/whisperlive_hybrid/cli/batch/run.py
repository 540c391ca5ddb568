"""Run a batch: find what is left to do, transcribe it here or on a server, print the summary."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVarTuple

import anyio

from whisperlive_hybrid.backends.registry import load_backend
from whisperlive_hybrid.cli.batch.formats import BatchRequest
from whisperlive_hybrid.cli.batch.inputs import BatchItem
from whisperlive_hybrid.cli.batch.jobs_client import RetryPolicy, open_client
from whisperlive_hybrid.cli.batch.local import transcribe_locally
from whisperlive_hybrid.cli.batch.manifest import digest
from whisperlive_hybrid.cli.batch.outputs import (
    InOrder,
    OutcomeWriter,
    OutputDirectory,
    Printer,
    Tally,
)
from whisperlive_hybrid.cli.batch.remote import (
    JobRegistry,
    NoJobRegistry,
    RemoteBatch,
    job_fields,
)
from whisperlive_hybrid.cli.batch.report import OnOutcome, OnProgress, ProgressDisplay
from whisperlive_hybrid.cli.terminal import FAILED, INTERRUPTED, TERMINATED, note, show_downloads
from whisperlive_hybrid.config import Settings
from whisperlive_hybrid.protocol.openai.cue_fields import cue_params

Arguments = TypeVarTuple("Arguments")


class Terminated(KeyboardInterrupt):
    """Raised after SIGTERM."""


def run_terminable(work: Callable[[*Arguments], Awaitable[None]], *arguments: *Arguments) -> None:
    """Run `work` as `anyio.run` does, cancel it on SIGTERM and then raise `Terminated`.

    Main thread only. It also works where SIGINT is ignored, as in the background of a script.
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


PreparedRun = Callable[[Sequence[BatchItem], JobRegistry, OnProgress, OnOutcome], None]
"""Transcribes recordings with everything loaded; blocks."""


class BatchRunner(Protocol):
    """A place where recordings are transcribed."""

    @property
    def takes_urls(self) -> bool:
        """True if recordings may be URLs."""

    def describe(self) -> Mapping[str, object]:
        """Return what a text depends on besides recording and request, in types that JSON has."""

    def prepare(self, request: BatchRequest) -> PreparedRun:
        """Load what transcribing needs."""


@dataclass(frozen=True, slots=True)
class LocalRunner:
    """Transcribes with a model in this process."""

    settings: Settings
    takes_urls: bool = False

    def describe(self) -> Mapping[str, object]:
        """Return the model and how it is run."""
        settings = self.settings
        return {
            "model": settings.model.model,
            "model_card": str(settings.model.model_card) if settings.model.model_card else None,
            "backend": settings.model.backend,
            "device": settings.model.device,
            "compute_type": settings.model.compute_type,
        }

    def prepare(self, request: BatchRequest) -> PreparedRun:
        """Load the model.

        Raises `ModelUnavailable`; the run raises `Unsupported` for a request beyond the model.
        """
        with show_downloads() as on_progress:
            backend = load_backend(self.settings.model, on_progress=on_progress)

        def run(
            items: Sequence[BatchItem],
            registry: JobRegistry,
            progress: OnProgress,
            outcome: OnOutcome,
        ) -> None:
            del registry  # an interrupted recording is transcribed again from its beginning
            run_terminable(
                transcribe_locally, backend, self.settings.files, items, request, progress, outcome
            )

        return run


@dataclass(frozen=True, slots=True)
class RemoteRunner:
    """Transcribes through /v1/jobs of a server."""

    url: str
    model: str | None
    """One of the server's models; None for the server's default."""
    api_key: str | None
    keeps_jobs: bool
    takes_urls: bool = True

    def describe(self) -> Mapping[str, object]:
        """Return the server, which may choose the model, and the model that was requested."""
        return {"server": self.url, "model": self.model}

    def prepare(self, request: BatchRequest) -> PreparedRun:
        """Return the run; there is nothing to load."""

        async def run_remotely(
            items: Sequence[BatchItem],
            registry: JobRegistry,
            progress: OnProgress,
            outcome: OnOutcome,
        ) -> None:
            fields = job_fields(request, self.model)
            async with open_client(self.url, self.api_key, RetryPolicy()) as client:
                batch = RemoteBatch(client, fields, request, registry, keeps_jobs=self.keeps_jobs)
                await batch.run(items, progress, outcome)

        return lambda *arguments: run_terminable(run_remotely, *arguments)


def fingerprint(runner: BatchRunner, request: BatchRequest) -> Mapping[str, object]:
    """Return everything that a text depends on, besides the recording."""
    options = request.options
    return {
        **runner.describe(),
        "language": options.language,
        "task": options.task.value,
        "words": options.words,
        "prompt": options.prompt,
        "hotwords": options.hotwords,
        "beam_size": options.beam_size,
        # Left out where not given, so that outputs of earlier versions still count as done.
        **({} if request.audio_track is None else {"audio_track": request.audio_track}),
        **(
            {}
            if options.switch_threshold is None
            else {"language_detection_threshold": options.switch_threshold}
        ),
        **cue_params(request.cue_style),  # absent where not given, as in older manifests
    }


@dataclass(frozen=True, slots=True)
class BatchJob:
    """The recordings of one command, and how to transcribe them."""

    items: Sequence[BatchItem]
    request: BatchRequest
    runner: BatchRunner
    output_dir: Path | None
    """None to print."""
    overwrites: bool


def run_batch(job: BatchJob) -> int:
    """Transcribe the recordings, report on standard error, and return the exit code.

    Raises errors that concern the whole batch: an unavailable model or server, a full disk.
    """
    tally = Tally()
    if job.output_dir is None:
        display = ProgressDisplay(len(job.items), names_files=False)
        printer = Printer(has_headers=len(job.items) > 1)
        writer = OutcomeWriter(printer, tally, display.show_done, display.show_failure)
        # A server may finish later recordings first; printed texts follow the arguments.
        in_order = InOrder(job.items, writer.write)
        return _run(job, job.items, NoJobRegistry(), display, in_order.add, tally)
    options = digest(fingerprint(job.runner, job.request))
    directory = OutputDirectory(job.output_dir, job.request.formats, options)
    directory.prepare()
    todo = job.items if job.overwrites else directory.find_pending(job.items)
    tally.before = len(job.items) - len(todo)
    if tally.before:
        note(f"{tally.before} of {len(job.items)} done before.")
    display = ProgressDisplay(len(todo), names_files=True)
    writer = OutcomeWriter(directory, tally, display.show_done, display.show_failure)
    return _run(job, todo, directory, display, writer.write, tally)


def _run(
    job: BatchJob,
    todo: Sequence[BatchItem],
    registry: JobRegistry,
    display: ProgressDisplay,
    on_outcome: OnOutcome,
    tally: Tally,
) -> int:
    """Transcribe `todo`, print the summary and return the exit code."""
    began = time.monotonic()
    code = None
    try:
        if todo:  # otherwise there is no reason to load a model
            run = job.runner.prepare(job.request)
            began = time.monotonic()  # downloading and loading the model do not count
            with display:
                run(todo, registry, display.update, on_outcome)
        code = FAILED if tally.failed else 0
    except KeyboardInterrupt as interruption:
        note("Interrupted.")
        code = TERMINATED if isinstance(interruption, Terminated) else INTERRUPTED
    finally:  # after an error of the whole batch too, if any recording was processed
        if code is not None or tally.done or tally.failed:
            note(tally.summary(len(job.items), time.monotonic() - began))
    return code

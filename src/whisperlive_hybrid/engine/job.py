"""Jobs: work for the engine's workers, one task at a time.

A job is a state machine without threads. It names its first task, is given the result of each
task, and returns the next task or its answer. The engine runs tasks with equal keys in one call,
whichever jobs they belong to. A window for Whisper is one kind of job (`engine.decode_job`); any
other model can share the workers, the queue and its rules with a job of its own.
"""

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from whisperlive_hybrid.engine.scheduler import Item
from whisperlive_hybrid.types import Urgency

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True, eq=False)
class ModelTask:
    """A piece of model work that is not interrupted: one item of a batch."""

    work: Any
    """What `run` understands."""
    model: str
    kind: str
    """A name for metrics and traces, such as `encode`."""
    run: Callable[[Sequence[Any]], Sequence[Any]]
    """Run the works of a batch of tasks with equal keys; blocking, on a worker thread. Return a
    result or an exception for each of them, in order."""
    key: Hashable = None
    """Tasks of one model with equal keys may share a call."""
    batch_limit: int = 1
    """How many tasks a call may hold."""
    gathers_s: float | None = None
    """How long it may wait for others to share its call; None if it gains nothing from that."""


class EngineJob(Protocol[T_co]):
    """Work that ends in an answer; used by one thread at a time."""

    def first(self) -> ModelTask:
        """Return the task to begin with."""

    def advance(self, done: ModelTask, result: Any) -> ModelTask | T_co:  # noqa: ANN401 (of `done.run`)
        """Take the result of a task; return the next task, or the answer."""


class BatchFailed:
    """The outcome of a task whose whole batch raised: which task is at fault is not known yet."""


@dataclass(frozen=True, slots=True, eq=False)
class Step(Generic[T]):
    """A job with its current task, and how that is queued."""

    job: EngineJob[T]
    task: ModelTask
    item: Item

    @classmethod
    def of(
        cls, job: EngineJob[T], task: ModelTask, number: int, urgency: Urgency, deadline: float
    ) -> "Step[T]":
        """Return `task` of job `number`, due at `deadline` on the monotonic clock."""
        gathers_until = None if task.gathers_s is None else time.monotonic() + task.gathers_s
        key = (task.model, task.key)
        item = Item(number, urgency, deadline, key, task.batch_limit, gathers_until)
        return cls(job, task, item)

    def alone(self) -> "Step[T]":
        """Return the same step, to be run in a batch of its own."""
        return replace(self, item=replace(self.item, alone=True))


Outcome = Step[Any] | BatchFailed | Any
"""The result of a step: the job's next step, an unknown failure, an exception, or the answer."""


def run_batch(batch: Sequence[Step[Any]]) -> list[Outcome]:
    """Run a batch of steps with equal keys, and advance the job of each."""
    works = [step.task.work for step in batch]
    run = batch[0].task.run
    results = _attempt(lambda: list(zip(batch, run(works), strict=True)))
    if isinstance(results, Exception):
        return [results] if len(batch) == 1 else [BatchFailed()] * len(batch)
    return [
        # The job's next task may need the backend for its key, so this may fail as well.
        result if isinstance(result, Exception) else _attempt(partial(_advance, step, result))
        for step, result in results
    ]


def _advance(step: Step[Any], result: Any) -> Outcome:  # noqa: ANN401 (whatever the task returned)
    wanted = step.job.advance(step.task, result)
    if not isinstance(wanted, ModelTask):
        return wanted
    item = step.item
    return Step.of(step.job, wanted, item.job, item.urgency, item.deadline)


def _attempt(call: Callable[[], Any]) -> Any:  # noqa: ANN401 (whatever the call returns)
    """Call, and return the exception if it raises one.

    This is the engine's one broad `except`: whatever a runtime raises fails one job.
    """
    try:
        return call()
    except Exception as error:  # noqa: BLE001 (the exception is the outcome)
        return error

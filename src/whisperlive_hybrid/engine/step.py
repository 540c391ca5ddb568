"""One step of a batch of jobs: run what they want on their backend, and learn what they want next.

An exception that a backend raises for a whole batch condemns nobody yet: only an item that ran
alone is guilty. Nothing here waits, locks or answers anybody.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Generic, TypeVar

from whisperlive_hybrid.backends.base import (
    Align,
    Backend,
    DetectLanguage,
    Encode,
    Encoded,
    Generate,
    Work,
)
from whisperlive_hybrid.engine.job import ReadingJob
from whisperlive_hybrid.engine.scheduler import Item
from whisperlive_hybrid.types import Hypothesis, Language, Reading, TokenTime, Urgency

GATHERING_S: Final = {
    Urgency.FINAL: 0.1,
    Urgency.UPDATE: 0.3,
    Urgency.SHORT_FILE: 1.0,
    Urgency.BULK: 5.0,
}
"""How long a generate may wait for company while there are encodes to run, in seconds."""

W = TypeVar("W", bound=Work)
R = TypeVar("R")


@dataclass(frozen=True)
class _Stage(Generic[W, R]):
    """One kind of work: how a backend runs a batch of it, and where its results go."""

    kind: str
    run: Callable[[Backend, Sequence[W]], list[R | Exception]]
    then: Callable[[ReadingJob, W, R], Work | Reading]


_STAGES: Final[dict[type, _Stage[Any, Any]]] = {
    Encode: _Stage[Encode, Encoded]("encode", lambda b, batch: b.encode(batch), ReadingJob.encoded),
    DetectLanguage: _Stage[DetectLanguage, Language](
        "detect_language", lambda b, batch: b.detect_language(batch), ReadingJob.detected
    ),
    Generate: _Stage[Generate, Hypothesis](
        "generate", lambda b, batch: b.generate(batch), ReadingJob.generated
    ),
    Align: _Stage[Align, list[TokenTime]](
        "align", lambda b, batch: b.align(batch), ReadingJob.aligned
    ),
}


class BatchDied:
    """What became of an item whose whole batch raised: nothing is known about it yet."""


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """A job with the work that it wants done now, and how that is queued."""

    backend: Backend
    job: ReadingJob
    work: Work
    item: Item

    def alone(self) -> "Step":
        """The same, to be run in a batch of its own."""
        return replace(self, item=replace(self.item, alone=True))

    def then(self, work: Work) -> "Step":
        """What the same job wants next."""
        item = self.item
        return step(self.backend, self.job, work, item.job, item.urgency, item.deadline)


Outcome = Step | Reading | BatchDied | Exception
"""What becomes of a step: the next one, the answer, nothing known, or why there is no answer."""


def step(
    backend: Backend, job: ReadingJob, work: Work, number: int, urgency: Urgency, deadline: float
) -> Step:
    """`work` for job `number`, due at `deadline` on the monotonic clock."""
    able = backend.capabilities
    item = Item(
        job=number,
        urgency=urgency,
        deadline=deadline,
        key=(able.model, backend.batch_key(work)),
        batch_limit=(
            able.encode_batch
            if isinstance(work, Encode)
            else able.generate_limit(is_live=urgency.is_live)
        ),
        gathers_until=(
            time.monotonic() + GATHERING_S[urgency] if isinstance(work, Generate) else None
        ),
    )
    return Step(backend, job, work, item)


def kind_of(work: Work) -> str:
    """The name of a kind of work, for those who measure."""
    return _STAGES[type(work)].kind


def outcomes(batch: Sequence[Step]) -> list[Outcome]:
    """Run a batch, all of one backend and kind of work, and take each job a step further."""
    works = [each.work for each in batch]
    stage, backend = _STAGES[type(works[0])], batch[0].backend
    results = _attempt(lambda: list(zip(batch, stage.run(backend, works), strict=True)))
    if isinstance(results, Exception):
        return [results if len(works) == 1 else BatchDied()] * len(works)
    return [
        result
        if isinstance(result, Exception)
        else _attempt(partial(_further, stage, each, result))
        for each, result in results
    ]


def _further(stage: _Stage[Any, Any], done: Step, result: object) -> Step | Reading:
    """Give a job its result; what it wants next may need the backend to be told its key."""
    wanted = stage.then(done.job, done.work, result)
    return wanted if isinstance(wanted, Reading) else done.then(wanted)


def _attempt(step: Callable[[], Any]) -> Any:  # noqa: ANN401 (whatever the step returns)
    """Run `step`; the engine's one broad `except`: whatever a runtime raises fails one job."""
    try:
        return step()
    except Exception as error:  # noqa: BLE001 (the exception is the answer)
        return error

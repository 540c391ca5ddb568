"""The engine: one set of weights, a few worker threads, and `await decode(window)` above them.

Use cases see only `Engine.decode` and the engine's capabilities. A worker takes the batch that the
scheduler chooses, runs it, and hands each job its result and its next piece of work. An exception
that a backend raises for a whole batch condemns nobody yet: its items run again one by one, and
only the guilty one fails. A caller that is cancelled takes its queued work with it.
"""

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Generic, TypeVar

import anyio
import anyio.to_thread

from whisperlive_hybrid.backends.base import (
    Align,
    Backend,
    Capabilities,
    DetectLanguage,
    Encode,
    Encoded,
    Generate,
    Work,
)
from whisperlive_hybrid.engine.job import ReadingJob
from whisperlive_hybrid.engine.scheduler import Item, Scheduler
from whisperlive_hybrid.errors import BackendFailed, Draining, Unsupported, WhisperLiveError
from whisperlive_hybrid.types import (
    DecodeOptions,
    Hypothesis,
    Language,
    Reading,
    TokenTime,
    Urgency,
    Window,
)

PATIENCE_S: Final = {
    Urgency.FINAL: 0.3,
    Urgency.UPDATE: 1.0,
    Urgency.SHORT_FILE: 10.0,
    Urgency.BULK: 600.0,
}
"""How long after its submission work of each class is due, in seconds."""

GATHERING_S: Final = {
    Urgency.FINAL: 0.1,
    Urgency.UPDATE: 0.3,
    Urgency.SHORT_FILE: 1.0,
    Urgency.BULK: 5.0,
}
"""How long a generate may wait for company while there are encodes to run, in seconds."""

_DRAIN_RETRY_S: Final = 30.0

W = TypeVar("W", bound=Work)
R = TypeVar("R")


@dataclass(frozen=True)
class _Stage(Generic[W, R]):
    """One kind of work: how a backend runs a batch of it, and where its results go."""

    run: Callable[[Backend, Sequence[W]], list[R | Exception]]
    then: Callable[[ReadingJob, W, R], Work | Reading]


_STAGES: Final[dict[type, _Stage[Any, Any]]] = {
    Encode: _Stage[Encode, Encoded](lambda b, batch: b.encode(batch), ReadingJob.encoded),
    DetectLanguage: _Stage[DetectLanguage, Language](
        lambda b, batch: b.detect_language(batch), ReadingJob.detected
    ),
    Generate: _Stage[Generate, Hypothesis](
        lambda b, batch: b.generate(batch), ReadingJob.generated
    ),
    Align: _Stage[Align, list[TokenTime]](lambda b, batch: b.align(batch), ReadingJob.aligned),
}


@dataclass(slots=True, eq=False)
class _Call:
    """One caller of `decode`: its job, the work it waits for, and where its answer goes."""

    job: ReadingJob
    work: Work
    item: Item
    answer: "asyncio.Future[Reading]"
    loop: asyncio.AbstractEventLoop


class Engine:
    """Owns a backend and its worker threads; use it as an async context manager."""

    def __init__(self, backend: Backend, *, queue_limit: int = 256) -> None:
        """`queue_limit` bounds the windows of files that wait or run."""
        self.capabilities: Capabilities = backend.capabilities
        self._backend = backend
        self._scheduler = Scheduler(workers=self.capabilities.workers, limit=queue_limit)
        self._changed = threading.Condition()  # guards all below, and the scheduler
        self._calls: dict[int, _Call] = {}
        self._numbers = itertools.count()
        self._draining = False
        self._stopping = False
        self._workers = [
            threading.Thread(target=self._work, name=f"engine-{n}", daemon=True)
            for n in range(self.capabilities.workers)
        ]

    async def __aenter__(self) -> "Engine":
        for worker in self._workers:
            worker.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        with self._changed:
            self._draining = self._stopping = True
            self._changed.notify_all()
            for call in list(self._calls.values()):
                self._answer(call, _draining())
        with anyio.CancelScope(shield=True):  # weights may not go before the last call is back
            await anyio.to_thread.run_sync(self._close)

    @property
    def queue_depth(self) -> int:
        """Windows that wait or run."""
        with self._changed:
            return self._scheduler.admitted

    @property
    def live_lateness_s(self) -> float:
        """By how much the finals of live streams are late: above 0 there are too many streams."""
        with self._changed:
            return self._scheduler.lateness(time.monotonic())

    @contextmanager
    def live_stream(self) -> Iterator[None]:
        """While inside, a live stream is open: files leave a worker free for it."""
        with self._changed:
            self._scheduler.live_streams += 1
        try:
            yield
        finally:
            with self._changed:
                self._scheduler.live_streams -= 1
                self._changed.notify_all()

    async def decode(
        self,
        window: Window,
        options: DecodeOptions,
        urgency: Urgency = Urgency.SHORT_FILE,
        *,
        continues: bool = False,
    ) -> Reading:
        """Read one window; times of the answer are on the window's clock.

        `continues` says that another window of the same recording was accepted before.

        Raises `Unsupported` for options that the model cannot honour, `Overloaded` when too many
        windows of files wait, `Draining` once the server shuts down, and `BackendFailed` when the
        runtime fails on this window.
        """
        self.check(options)
        loop = asyncio.get_running_loop()
        job = ReadingJob(window, options, self.capabilities, self._backend.vocabulary)
        number = next(self._numbers)
        work = job.first()
        item = self._item(number, urgency, time.monotonic() + PATIENCE_S[urgency], work)
        call = _Call(job, work, item, loop.create_future(), loop)
        with self._changed:
            if self._draining:
                raise _draining()
            self._scheduler.admit(item, continues=continues)
            self._calls[number] = call
            self._changed.notify()
        try:
            return await call.answer
        finally:
            self._forget(number)

    def check(self, options: DecodeOptions) -> None:
        """Raise `Unsupported` if the model cannot honour `options`."""
        able = self.capabilities
        if options.language is not None and options.language not in able.languages:
            raise Unsupported(
                f"Model {able.model!r} does not know the language {options.language!r}; "
                f"it knows: {', '.join(sorted(able.languages))}.",
                param="language",
                code="unsupported_value",
            )
        if options.task not in able.tasks:
            raise Unsupported(f"Model {able.model!r} cannot {options.task.value}.", param="task")
        if options.words and not able.word_times:
            raise Unsupported(
                f"Backend {able.backend!r} measures no word times.",
                param="timestamp_granularities",
            )
        if (options.prompt or options.hotwords) and not able.prompts:
            raise Unsupported(f"Backend {able.backend!r} takes no prompt.", param="prompt")

    async def drain(self, timeout_s: float) -> bool:
        """Take no new work and wait for what was admitted; return whether all of it was done."""
        with self._changed:
            self._draining = True
            answers = [call.answer for call in self._calls.values()]
        if not answers:
            return True
        _, unfinished = await asyncio.wait(answers, timeout=timeout_s)
        return not unfinished

    def _item(self, number: int, urgency: Urgency, deadline: float, work: Work) -> Item:
        return Item(
            job=number,
            urgency=urgency,
            deadline=deadline,
            key=self._backend.batch_key(work),
            batch_limit=self._batch_limit(work, urgency),
            gathers_until=(
                time.monotonic() + GATHERING_S[urgency] if isinstance(work, Generate) else None
            ),
        )

    def _batch_limit(self, work: Work, urgency: Urgency) -> int:
        able = self.capabilities
        if isinstance(work, Encode):
            return able.encode_batch
        return able.generate_limit(is_live=urgency.is_live)

    def _close(self) -> None:
        """Wait for the calls that run, then free the weights."""
        for worker in self._workers:
            worker.join()
        self._backend.close()

    def _forget(self, number: int) -> None:
        with self._changed:
            self._scheduler.end(number)
            self._calls.pop(number, None)

    def _work(self) -> None:
        """The life of a worker thread."""
        while batch := self._next_batch():
            started = time.monotonic()
            outcomes = self._outcomes([call for _, call in batch])
            seconds = time.monotonic() - started
            with self._changed:
                self._scheduler.ran([item for item, _ in batch], seconds)
                for (_, call), outcome in zip(batch, outcomes, strict=True):
                    self._advance(call, outcome)
                self._changed.notify_all()

    def _next_batch(self) -> list[tuple[Item, _Call]]:
        """Wait for work; empty when the engine stops."""
        with self._changed:
            while not self._stopping:
                if batch := self._scheduler.take(time.monotonic()):
                    return [(item, self._calls[item.job]) for item in batch]
                self._changed.wait()
            return []

    def _outcomes(self, calls: Sequence[_Call]) -> list[object]:
        """Run one batch and take each job a step further: _Next, a Reading or an exception."""
        works = [call.work for call in calls]
        stage = _STAGES[type(works[0])]
        results = _attempt(lambda: list(zip(calls, stage.run(self._backend, works), strict=True)))
        if isinstance(results, Exception):
            return [results if len(works) == 1 else _BatchDied()] * len(works)
        return [
            result
            if isinstance(result, Exception)
            else _attempt(partial(self._further, stage, call, result))
            for call, result in results
        ]

    def _further(self, stage: _Stage[Any, Any], call: _Call, result: object) -> "_Next | Reading":
        """Give a job its result; what it wants next may need the backend to be told its key."""
        wanted = stage.then(call.job, call.work, result)
        if isinstance(wanted, Reading):
            return wanted
        item = call.item
        return _Next(wanted, self._item(item.job, item.urgency, item.deadline, wanted))

    def _advance(self, call: _Call, outcome: object) -> None:
        """Answer the caller, or queue what comes next for its job."""
        number = call.item.job
        if number not in self._calls:
            return  # the caller has gone
        match outcome:
            case Reading():
                self._answer(call, outcome)
            case _BatchDied():
                call.item = replace(call.item, alone=True)
                self._scheduler.resume(call.item)
            case Exception():
                self._answer(call, _translated(outcome))
            case _Next():
                call.work, call.item = outcome.work, outcome.item
                self._scheduler.resume(call.item)

    def _answer(self, call: _Call, answer: Reading | Exception) -> None:
        """Settle a caller's future on its own loop."""
        self._scheduler.end(call.item.job)
        del self._calls[call.item.job]

        def settle() -> None:
            if call.answer.done():
                return
            if isinstance(answer, Reading):
                call.answer.set_result(answer)
            else:
                call.answer.set_exception(answer)

        call.loop.call_soon_threadsafe(settle)


@dataclass(frozen=True, slots=True)
class _Next:
    """What a job wants next, and how that is queued."""

    work: Work
    item: Item


class _BatchDied:
    """What became of an item whose whole batch raised: nothing is known about it yet."""


def _attempt(step: Callable[[], Any]) -> Any:  # noqa: ANN401 (whatever the step returns)
    """Run `step`; the engine's one broad `except`: whatever a runtime raises fails one job."""
    try:
        return step()
    except Exception as error:  # noqa: BLE001 (the exception is the answer)
        return error


def _translated(error: Exception) -> Exception:
    if isinstance(error, WhisperLiveError):
        return error
    failed = BackendFailed("The model failed on this audio.")
    failed.__cause__ = error
    return failed


def _draining() -> Draining:
    return Draining("The server is shutting down.", retry_after_s=_DRAIN_RETRY_S)

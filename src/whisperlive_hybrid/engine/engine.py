"""The engine: weights, a few worker threads, and `await decode(window)` above them.

Use cases see only the seam `Decoder`, which the engine is for its own model. Other models may be
its guests: they have weights of their own, and share its workers, its queue and its rules.

A worker takes the batch that the scheduler chooses, runs it, and hands each job its result and its
next piece of work. An exception that a backend raises for a whole batch condemns nobody yet: its
items run again one by one, and only the guilty one fails. A caller that is cancelled takes its
queued work with it.
"""

import asyncio
import itertools
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import anyio
import anyio.to_thread
import structlog

from whisperlive_hybrid.backends.base import Backend, Capabilities
from whisperlive_hybrid.engine.capacity import DEFAULT_LIVE_LOAD, LiveCapacity, LiveEstimate, Room
from whisperlive_hybrid.engine.client import Decoder
from whisperlive_hybrid.engine.job import (
    BatchDied,
    Outcome,
    ReadingJob,
    Step,
    kind_of,
    outcomes,
    step,
)
from whisperlive_hybrid.engine.observer import NOBODY, Asked, Mark, ModelCall, Observer, Part
from whisperlive_hybrid.engine.scheduler import Scheduler
from whisperlive_hybrid.errors import BackendFailed, Draining, WhisperLiveError
from whisperlive_hybrid.types import DecodeOptions, Reading, Urgency, Window

FEWEST_WINDOWS: Final = 100
"""Before so many windows were read a share says little."""

MOST_DOUBTED: Final = 0.02
"""Share of windows that may be read again in the full context; above it a context is too short."""


class ContextTally:
    """Counts the windows that were read in less than the full context."""

    def __init__(self) -> None:
        self._windows: Counter[str] = Counter()
        self._doubted: Counter[str] = Counter()
        self._told: set[str] = set()

    def windows(self, model: str) -> int:
        """Windows that a model has read."""
        return self._windows[model]

    def doubted(self, model: str) -> int:
        """Those of them that were read again."""
        return self._doubted[model]

    def count(self, model: str, *, was_doubted: bool) -> bool:
        """Count a window; True the first time that a model has too many read again."""
        self._windows[model] += 1
        self._doubted[model] += was_doubted
        n_windows = self._windows[model]
        if model in self._told or n_windows < FEWEST_WINDOWS:
            return False
        if self._doubted[model] <= MOST_DOUBTED * n_windows:
            return False
        self._told.add(model)
        return True


PATIENCE_S: Final = {
    Urgency.FINAL: 0.3,
    Urgency.UPDATE: 1.0,
    Urgency.SHORT_FILE: 10.0,
    Urgency.BULK: 600.0,
}
"""How long after its submission work of each class is due, in seconds."""

log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Call:
    """One caller of `decode`: what its job wants now, and where its answer goes."""

    step: Step
    answer: "asyncio.Future[Reading]"
    loop: asyncio.AbstractEventLoop
    mark: Mark
    """The observer's."""
    queued_at: float
    """Since when `step` has waited, on the monotonic clock."""
    is_rehearsal: bool = False
    """Read for its cost alone: no observer sees it."""
    spent_s: float = 0.0
    """Its part of the calls that it was in."""
    was_alone: bool = False
    """In one of them, other workers had nothing to do."""

    @property
    def number(self) -> int:
        """The number of its job."""
        return self.step.item.job

    @property
    def was_read(self) -> bool:
        """Whether the answer is there and is a reading."""
        answer = self.answer
        return answer.done() and not answer.cancelled() and answer.exception() is None


class Engine:
    """Owns a backend and its worker threads; use it as an async context manager.

    It is the `Decoder` of that backend's model, and `host` makes one of another model's.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        queue_limit: int = 256,
        live_load: float = DEFAULT_LIVE_LOAD,
        observer: Observer = NOBODY,
    ) -> None:
        """`queue_limit` bounds the windows of files that wait or run.

        `live_load` is the share of the workers' time that live streams may need together.
        """
        self._backend = backend
        self._observer = observer
        self._scheduler = Scheduler(workers=self.capabilities.workers, limit=queue_limit)
        self._capacity = LiveCapacity(self.capabilities.workers, live_load)
        self._changed = threading.Condition()  # guards all below, the scheduler and the capacity
        self._calls: dict[int, _Call] = {}
        self._running: Counter[str] = Counter()  # calls that run, by the name of their model
        self._tally = ContextTally()
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
                self._answer(call, Draining())
        with anyio.CancelScope(shield=True):  # weights may not go before the last call is back
            await anyio.to_thread.run_sync(self._close)

    @property
    def capabilities(self) -> Capabilities:
        """What its own model can do."""
        return self._backend.capabilities

    @property
    def queue_depth(self) -> int:
        """Windows that wait or run."""
        with self._changed:
            return self._scheduler.admitted

    @property
    def waiting(self) -> Counter[Urgency]:
        """Pieces of work that wait for a worker now, by class."""
        with self._changed:
            return self._scheduler.waiting

    @property
    def is_full(self) -> bool:
        """Whether a new recording would be refused."""
        with self._changed:
            return self._scheduler.is_full

    @property
    def is_working(self) -> bool:
        """Whether every worker lives."""
        return all(worker.is_alive() for worker in self._workers)

    @property
    def live_lateness_s(self) -> float:
        """By how much the finals of live streams are late: above 0 there are too many streams."""
        with self._changed:
            return self._scheduler.lateness(time.monotonic())

    @property
    def live_room(self) -> Room:
        """Whether one more live stream can be served within the bounds."""
        with self._changed:
            return self._capacity.room(time.monotonic())

    @property
    def update_interval_s(self) -> float:
        """Seconds of new speech that a live stream lets pass before its next update."""
        with self._changed:
            return self._capacity.update_interval(time.monotonic())

    def live_estimate(self, most: int) -> LiveEstimate:
        """The load of the live streams, and how many fit, of `most` that may be open."""
        with self._changed:
            return self._capacity.estimate(time.monotonic(), most)

    @contextmanager
    def live_stream(self) -> Iterator[Callable[[float], None]]:
        """While inside, a live stream is open: it has a place, and files leave a worker free.

        To be called with the seconds of speech that have come in, whenever some have.
        """
        with self._changed:
            self._scheduler.live_streams += 1
            speech = self._capacity.open(time.monotonic())

        def hear(seconds: float) -> None:
            with self._changed:
                speech.hear(seconds, time.monotonic())

        try:
            yield hear
        finally:
            with self._changed:
                self._scheduler.live_streams -= 1
                self._capacity.close(speech)
                self._changed.notify_all()

    async def decode(
        self,
        window: Window,
        options: DecodeOptions,
        urgency: Urgency = Urgency.SHORT_FILE,
        *,
        continues: bool = False,
    ) -> Reading:
        """Read one window with the engine's own model; see `Decoder`."""
        return await self._read(self._backend, window, options, urgency, continues=continues)

    async def rehearse(self, window: Window, options: DecodeOptions, urgency: Urgency) -> None:
        """Read a window to learn what such work costs now; raises as `decode` does."""
        able = self.capabilities
        able.check(options)
        job = ReadingJob(window, options, able, self._backend.vocabulary)
        await self._ran(self._backend, job, urgency, None, audio_s=window.duration, rehearses=True)

    @asynccontextmanager
    async def host(self, backend: Backend) -> AsyncIterator[Decoder]:
        """While inside, a second model is a guest of this engine; then its weights are freed.

        Its name must be its own, since work of equal names shares calls. To be left only when
        nobody decodes with it any more; what still runs for callers who have gone is waited for.
        """
        try:
            yield _Guest(backend, partial(self._read, backend))
        finally:
            with anyio.CancelScope(shield=True):  # weights may not go while a call reads them
                await anyio.to_thread.run_sync(self._see_out, backend)

    async def _read(
        self,
        backend: Backend,
        window: Window,
        options: DecodeOptions,
        urgency: Urgency,
        *,
        continues: bool,
    ) -> Reading:
        backend.capabilities.check(options)
        asked = Asked(backend.capabilities.model, urgency, window.duration)
        mark = self._observer.asked(asked)
        try:
            job = ReadingJob(window, options, backend.capabilities, backend.vocabulary)
            reading = await self._ran(
                backend, job, urgency, mark, audio_s=window.duration, continues=continues
            )
        except BaseException as error:
            if isinstance(error, BackendFailed):  # here, the caller's ids are on the line
                log.exception("the model failed on a window", model=asked.model)
            self._observer.answered(asked, mark, error)
            raise
        self._observer.answered(asked, mark, reading)
        return reading

    async def _ran(
        self,
        backend: Backend,
        job: ReadingJob,
        urgency: Urgency,
        mark: Mark,
        *,
        audio_s: float,
        continues: bool = False,
        rehearses: bool = False,
    ) -> Reading:
        """Hand a job in and wait for its answer."""
        loop = asyncio.get_running_loop()
        number, now = next(self._numbers), time.monotonic()
        first = step(backend, job, job.first(), number, urgency, now + PATIENCE_S[urgency])
        call = _Call(first, loop.create_future(), loop, mark, now, rehearses)
        with self._changed:
            if self._draining:
                raise Draining
            self._scheduler.admit(first.item, continues=continues)
            self._calls[number] = call
            self._changed.notify()
        try:
            return await call.answer
        finally:
            self._forget(call, audio_s)

    async def drain(self, timeout_s: float) -> bool:
        """Take no new work and wait for what was admitted; return whether all of it was done."""
        with self._changed:
            self._draining = True
            answers = [call.answer for call in self._calls.values()]
        if not answers:
            return True
        _, unfinished = await asyncio.wait(answers, timeout=timeout_s)
        return not unfinished

    def _close(self) -> None:
        """Wait for the calls that run, then free the weights."""
        for worker in self._workers:
            worker.join()
        self._backend.close()

    def _see_out(self, backend: Backend) -> None:
        """Wait for a guest's calls that run, then free its weights."""
        with self._changed:
            while self._running[backend.capabilities.model]:
                self._changed.wait()
        backend.close()

    def _forget(self, call: _Call, audio_s: float) -> None:
        with self._changed:
            self._scheduler.end(call.number)
            self._calls.pop(call.number, None)
            if call.is_rehearsal or not call.was_alone:
                urgency, now = call.step.item.urgency, time.monotonic()
                if call.was_read:
                    self._capacity.learn(urgency, call.spent_s, audio_s, now)
                else:
                    self._capacity.waste(urgency, call.spent_s, now)

    def _work(self) -> None:
        """The life of a worker thread."""
        while calls := self._next_batch():
            batch = [call.step for call in calls]
            started = time.monotonic()
            results = outcomes(batch)
            ended = time.monotonic()
            if seen := [call for call in calls if not call.is_rehearsal]:
                self._observer.called(_model_call(seen, started, ended))
            with self._changed:
                self._running[_model(calls)] -= 1
                self._scheduler.ran([each.item for each in batch], ended - started)
                for call, outcome in zip(calls, results, strict=True):
                    self._charge(call, (ended - started) / len(calls), ended)
                    self._advance(call, outcome)
                self._changed.notify_all()

    def _next_batch(self) -> list[_Call]:
        """Wait for work; empty when the engine stops."""
        with self._changed:
            while not self._stopping:
                if batch := self._scheduler.take(time.monotonic()):
                    calls = [self._calls[item.job] for item in batch]
                    for call in calls:
                        call.was_alone |= not self._scheduler.is_busy
                    self._running[_model(calls)] += 1
                    return calls
                self._changed.wait()
            return []

    def _charge(self, call: _Call, seconds: float, now: float) -> None:
        """Book a window's part of a call; where its caller has gone, for nothing."""
        call.spent_s += seconds
        if call.number not in self._calls and not call.was_alone:
            self._capacity.waste(call.step.item.urgency, seconds, now)

    def _advance(self, call: _Call, outcome: Outcome) -> None:
        """Answer the caller, or queue what comes next for its job."""
        if call.number not in self._calls:
            return  # the caller has gone
        match outcome:
            case Reading():
                self._count(call.step, outcome)
                self._answer(call, outcome)
            case Exception():
                self._answer(call, _translated(outcome))
            case BatchDied():
                self._resume(call, call.step.alone())
            case Step():
                self._resume(call, outcome)

    def _count(self, done: Step, reading: Reading) -> None:
        """Warn, once a model, where short contexts are doubted too often."""
        model = done.backend.capabilities.model
        if not done.job.tries_short_context:
            return
        if self._tally.count(model, was_doubted=reading.was_doubted):
            log.warning(
                "short contexts are often read again in the full one; run `whisperlive calibrate`",
                model=model,
                windows=self._tally.windows(model),
                read_again=self._tally.doubted(model),
            )

    def _resume(self, call: _Call, wanted: Step) -> None:
        call.step, call.queued_at = wanted, time.monotonic()
        self._scheduler.resume(wanted.item)

    def _answer(self, call: _Call, answer: Reading | Exception) -> None:
        """Settle a caller's future on its own loop."""
        self._scheduler.end(call.number)
        del self._calls[call.number]

        def settle() -> None:
            if call.answer.done():
                return
            if isinstance(answer, Reading):
                call.answer.set_result(answer)
            else:
                call.answer.set_exception(answer)

        call.loop.call_soon_threadsafe(settle)


@dataclass(frozen=True, slots=True)
class _Guest:
    """The `Decoder` of a model that an engine hosts."""

    backend: Backend
    read: Callable[..., Awaitable[Reading]]
    """`Engine._read` with the backend filled in."""

    @property
    def capabilities(self) -> Capabilities:
        """What the guest can do."""
        return self.backend.capabilities

    async def decode(
        self,
        window: Window,
        options: DecodeOptions,
        urgency: Urgency = Urgency.SHORT_FILE,
        *,
        continues: bool = False,
    ) -> Reading:
        """Read one window; see `Decoder`."""
        return await self.read(window, options, urgency, continues=continues)


def _model(calls: Sequence[_Call]) -> str:
    """The model of a batch."""
    return calls[0].step.backend.capabilities.model


def _model_call(calls: Sequence[_Call], began: float, ended: float) -> ModelCall:
    parts = tuple(Part(call.mark, call.step.item.urgency, call.queued_at) for call in calls)
    return ModelCall(_model(calls), kind_of(calls[0].step.work), parts, began, ended)


def _translated(error: Exception) -> Exception:
    if isinstance(error, WhisperLiveError):
        return error
    failed = BackendFailed("The model failed on this audio.")
    failed.__cause__ = error
    return failed

"""The engine: weights, a few worker threads, and `await engine.decode(window)` above them.

Everything else sees it as an `EngineClient`. Other models may be attached: they have weights of
their own, and share the workers, the queue and its rules.

A worker takes the batch that the scheduler chooses, runs it, and gives each job its result. An
exception that a backend raises for a whole batch fails none of its jobs yet: they run again one by
one, and only the one at fault fails. A caller that is cancelled takes its queued work with it.
"""

import asyncio
import itertools
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import anyio
import anyio.to_thread
import structlog

from whisperlive_hybrid.backends.base import Backend, Capabilities
from whisperlive_hybrid.engine.capacity import DEFAULT_LIVE_LOAD, LiveCapacity, LiveEstimate, Room
from whisperlive_hybrid.engine.client import Decoder
from whisperlive_hybrid.engine.decode_job import DecodeJob
from whisperlive_hybrid.engine.job import BatchFailed, EngineJob, Outcome, Step, run_batch
from whisperlive_hybrid.engine.observer import (
    NO_OBSERVER,
    Mark,
    ModelCall,
    Observer,
    Part,
    WindowRequest,
)
from whisperlive_hybrid.engine.scheduler import Scheduler
from whisperlive_hybrid.errors import BackendFailed, Draining, WhisperLiveError
from whisperlive_hybrid.types import DecodeOptions, DecodeResult, Urgency, Window

FEWEST_WINDOWS: Final = 100
"""Windows before a share says anything."""

MOST_DOUBTED: Final = 0.02
"""Share of windows that may be decoded again; above it the context of the card is too short."""


class ContextTally:
    """Counts the windows that were decoded in less than the full context."""

    def __init__(self) -> None:
        self._windows: Counter[str] = Counter()
        self._doubted: Counter[str] = Counter()
        self._warned: set[str] = set()

    def n_windows(self, model: str) -> int:
        """Return how many windows a model has decoded."""
        return self._windows[model]

    def n_doubted(self, model: str) -> int:
        """Return how many of them were decoded again in the full context."""
        return self._doubted[model]

    def count(self, model: str, *, was_doubted: bool) -> bool:
        """Count a window; return True the first time that a model has too many doubted ones."""
        self._windows[model] += 1
        self._doubted[model] += was_doubted
        n_windows = self._windows[model]
        if model in self._warned or n_windows < FEWEST_WINDOWS:
            return False
        if self._doubted[model] <= MOST_DOUBTED * n_windows:
            return False
        self._warned.add(model)
        return True


PATIENCE_S: Final = {
    Urgency.FINAL: 0.3,
    Urgency.UPDATE: 1.0,
    Urgency.SHORT_FILE: 10.0,
    Urgency.BULK: 600.0,
}
"""Deadline of each class of work after its submission, in seconds."""

T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Call:
    """A caller of the engine: the current step of its job, and the future of its answer."""

    step: Step[Any]
    answer: "asyncio.Future[Any]"
    loop: asyncio.AbstractEventLoop
    mark: Mark
    """The observer's."""
    queued_at: float
    """Since when `step` has waited, on the monotonic clock."""
    is_measurement: bool = False
    """Run for its cost alone: no observer sees it."""
    spent_s: float = 0.0
    """Its part of the calls that it was in."""
    was_alone: bool = False
    """In one of them, other workers had nothing to do."""

    @property
    def number(self) -> int:
        """The number of its job."""
        return self.step.item.job

    @property
    def has_answer(self) -> bool:
        """Whether the job has ended without an error."""
        answer = self.answer
        return answer.done() and not answer.cancelled() and answer.exception() is None


class Engine:
    """Owns a backend and its worker threads; use it as an async context manager.

    It is the `Decoder` of that backend's model, and `attach` makes one for another model.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        queue_limit: int = 256,
        live_load: float = DEFAULT_LIVE_LOAD,
        observer: Observer = NO_OBSERVER,
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
    def open_stream(self) -> Iterator[Callable[[float], None]]:
        """Reserve a place for a live stream (see `EngineClient`); files leave a worker free."""
        with self._changed:
            self._scheduler.live_streams += 1
            speech = self._capacity.open(time.monotonic())

        def report_speech(seconds: float) -> None:
            with self._changed:
                speech.add(seconds, time.monotonic())

        try:
            yield report_speech
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
    ) -> DecodeResult:
        """Decode one window with the engine's own model; see `Decoder`."""
        return await self._decode(self._backend, window, options, urgency, continues=continues)

    async def measure(self, window: Window, options: DecodeOptions, urgency: Urgency) -> None:
        """Decode a window only to learn its cost; raise as `decode` does."""
        job = DecodeJob(self._backend, window, options, urgency)
        await self._answer_of(job, urgency, None, audio_s=window.duration, is_measurement=True)

    @asynccontextmanager
    async def attach(self, backend: Backend) -> AsyncIterator[Decoder]:
        """Let another model share the workers; see `EngineClient`."""
        try:
            yield _AttachedModel(self, backend)
        finally:
            with anyio.CancelScope(shield=True):  # weights must not go while a call reads them
                await anyio.to_thread.run_sync(self._release, backend)

    async def run(
        self,
        job: EngineJob[T],
        model: str,
        urgency: Urgency,
        *,
        audio_s: float,
        continues: bool = False,
    ) -> T:
        """Run a job on the workers and return its answer; see `EngineClient`."""
        request = WindowRequest(model, urgency, audio_s)
        mark = self._observer.on_request(request)
        try:
            answer = await self._answer_of(job, urgency, mark, audio_s=audio_s, continues=continues)
        except BaseException as error:
            if isinstance(error, BackendFailed):  # here, the caller's ids are on the line
                log.exception("the model failed on a window", model=model)
            self._observer.on_answer(request, mark, error)
            raise
        self._observer.on_answer(request, mark, answer)
        return answer

    async def _decode(
        self,
        backend: Backend,
        window: Window,
        options: DecodeOptions,
        urgency: Urgency,
        *,
        continues: bool,
    ) -> DecodeResult:
        job, model = DecodeJob(backend, window, options, urgency), backend.capabilities.model
        audio_s = window.duration
        reading = await self.run(job, model, urgency, audio_s=audio_s, continues=continues)
        if job.tries_short_context:
            self._count_short_context(model, was_doubted=reading.was_doubted)
        return reading

    async def _answer_of(
        self,
        job: EngineJob[T],
        urgency: Urgency,
        mark: Mark,
        *,
        audio_s: float,
        continues: bool = False,
        is_measurement: bool = False,
    ) -> T:
        """Queue a job and wait for its answer."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        number, now = next(self._numbers), time.monotonic()
        first = Step.of(job, job.first(), number, urgency, now + PATIENCE_S[urgency])
        call = _Call(first, answer, loop, mark, now, is_measurement)
        with self._changed:
            if self._draining:
                raise Draining
            self._scheduler.admit(first.item, continues=continues)
            self._calls[number] = call
            self._changed.notify()
        try:
            return await answer
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

    def _release(self, backend: Backend) -> None:
        """Wait for the running calls of an attached model, then free its weights; blocking."""
        with self._changed:
            while self._running[backend.capabilities.model]:
                self._changed.wait()
        backend.close()

    def _forget(self, call: _Call, audio_s: float) -> None:
        with self._changed:
            self._scheduler.end(call.number)
            self._calls.pop(call.number, None)
            if call.is_measurement or not call.was_alone:
                urgency, now = call.step.item.urgency, time.monotonic()
                if call.has_answer:
                    self._capacity.learn(urgency, call.spent_s, audio_s, now)
                else:
                    self._capacity.waste(urgency, call.spent_s, now)

    def _work(self) -> None:
        """Run batches until the engine stops: the loop of a worker thread."""
        while calls := self._next_batch():
            batch = [call.step for call in calls]
            started = time.monotonic()
            results = run_batch(batch)
            ended = time.monotonic()
            if seen := [call for call in calls if not call.is_measurement]:
                self._observer.on_call(_model_call(seen, started, ended))
            with self._changed:
                self._running[_model(calls)] -= 1
                self._scheduler.finish([step.item for step in batch], ended - started)
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
            case Step():
                self._resume(call, outcome)
            case BatchFailed():
                self._resume(call, call.step.alone())
            case Exception():
                self._answer(call, _translate(outcome))
            case answer:
                self._answer(call, answer)

    def _count_short_context(self, model: str, *, was_doubted: bool) -> None:
        """Warn, once a model, where short contexts are retried in the full one too often."""
        with self._changed:
            is_too_often = self._tally.count(model, was_doubted=was_doubted)
        if is_too_often:
            log.warning(
                "short contexts are often read again in the full one; run `whisperlive calibrate`",
                model=model,
                windows=self._tally.n_windows(model),
                read_again=self._tally.n_doubted(model),
            )

    def _resume(self, call: _Call, wanted: Step[Any]) -> None:
        call.step, call.queued_at = wanted, time.monotonic()
        self._scheduler.resume(wanted.item)

    def _answer(self, call: _Call, answer: Any) -> None:  # noqa: ANN401 (of any job)
        """Settle a caller's future on its own loop; exceptions are raised there."""
        self._scheduler.end(call.number)
        del self._calls[call.number]

        def settle() -> None:
            if call.answer.done():
                return
            if isinstance(answer, Exception):
                call.answer.set_exception(answer)
            else:
                call.answer.set_result(answer)

        call.loop.call_soon_threadsafe(settle)


@dataclass(frozen=True, slots=True)
class _AttachedModel:
    """The `Decoder` of a model that is attached to an engine."""

    engine: Engine
    backend: Backend

    @property
    def capabilities(self) -> Capabilities:
        """What the model can do."""
        return self.backend.capabilities

    async def decode(
        self,
        window: Window,
        options: DecodeOptions,
        urgency: Urgency = Urgency.SHORT_FILE,
        *,
        continues: bool = False,
    ) -> DecodeResult:
        """Decode one window; see `Decoder`."""
        decode = self.engine._decode  # noqa: SLF001 (a part of the engine)
        return await decode(self.backend, window, options, urgency, continues=continues)


def _model(calls: Sequence[_Call]) -> str:
    """The model of a batch."""
    return calls[0].step.task.model


def _model_call(calls: Sequence[_Call], began: float, ended: float) -> ModelCall:
    parts = tuple(Part(call.mark, call.step.item.urgency, call.queued_at) for call in calls)
    return ModelCall(_model(calls), calls[0].step.task.kind, parts, began, ended)


def _translate(error: Exception) -> Exception:
    if isinstance(error, WhisperLiveError):
        return error
    failed = BackendFailed("The model failed on this audio.")
    failed.__cause__ = error
    return failed

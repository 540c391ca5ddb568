"""Prometheus metrics of the engine: queue waits, model calls, batches, windows by outcome."""

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from whisperlive_hybrid.engine.observer import Mark, ModelCall, WindowRequest
from whisperlive_hybrid.errors import Overloaded
from whisperlive_hybrid.types import DecodeResult, Urgency

PERIOD_S: Final = 60
"""Length of "the last minute" in seconds."""


@dataclass(slots=True)
class _Second:
    """Sums of one second of the clock."""

    number: int
    busy_s: float = 0.0
    audio_s: float = 0.0


class LastMinute:
    """Sums of the last minute, second by second. Not thread-safe."""

    def __init__(self) -> None:
        # One entry per second bounds the memory, however many calls there are.
        self._seconds: deque[_Second] = deque()

    def add(self, now: float, *, busy_s: float = 0.0, audio_s: float = 0.0) -> None:
        """Add model time, or audio that was decoded, at `now` (seconds of a monotonic clock)."""
        number = int(now)
        if not self._seconds or self._seconds[-1].number < number:
            self._seconds.append(_Second(number))
        self._seconds[-1].busy_s += busy_s
        self._seconds[-1].audio_s += audio_s
        self._drop_old(number)

    def factor(self, now: float) -> float | None:
        """Return the model time per second of audio decoded; None without audio."""
        self._drop_old(int(now))
        audio_s = sum(second.audio_s for second in self._seconds)
        return sum(second.busy_s for second in self._seconds) / audio_s if audio_s else None

    def _drop_old(self, number: int) -> None:
        while self._seconds and self._seconds[0].number <= number - PERIOD_S:
            self._seconds.popleft()


WAIT_BUCKETS: Final = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)
CALL_BUCKETS: Final = (0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)
BATCH_BUCKETS: Final = (1, 2, 4, 8, 16, 32)


class EngineMetrics:
    """An `Observer` that updates the metrics."""

    def __init__(
        self, registry: CollectorRegistry, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._lock = threading.Lock()  # model calls end on worker threads; guards _last_minutes
        self._last_minutes: defaultdict[str, LastMinute] = defaultdict(LastMinute)
        self._waits = Histogram(
            "whisperlive_queue_wait_seconds",
            "Time that a task of a window waited for a worker.",
            ["urgency"],
            registry=registry,
            buckets=WAIT_BUCKETS,
        )
        self._calls = Histogram(
            "whisperlive_model_call_duration_seconds",
            "Duration of model calls.",
            ["model", "kind"],
            registry=registry,
            buckets=CALL_BUCKETS,
        )
        self._batches = Histogram(
            "whisperlive_batch_size",
            "Windows per model call.",
            ["model", "kind"],
            registry=registry,
            buckets=BATCH_BUCKETS,
        )
        self._audio = Counter(
            "whisperlive_window_audio_seconds",
            "Audio of decoded windows; an open utterance is decoded several times.",
            ["model", "urgency"],
            registry=registry,
        )
        self._windows = Counter(
            "whisperlive_windows",
            "Windows by outcome.",
            ["model", "urgency", "outcome"],
            registry=registry,
        )
        self._unread = Counter(
            "whisperlive_unread_speech_seconds",
            "Speech found by the detector for which the model returned no text.",
            ["model", "urgency"],
            registry=registry,
        )
        # Series that exist from the start: a rate over a series that appears later is wrong.
        for urgency in Urgency:
            self._waits.labels(urgency_label(urgency))

    def on_request(self, request: WindowRequest) -> Mark:
        """Do nothing: windows are counted when they are done."""
        del request

    def on_call(self, call: ModelCall) -> None:
        """Record a model call."""
        self._calls.labels(call.model, call.kind).observe(call.seconds)
        self._batches.labels(call.model, call.kind).observe(len(call.parts))
        for part in call.parts:
            self._waits.labels(urgency_label(part.urgency)).observe(call.began - part.queued_at)
        with self._lock:
            self._last_minutes[call.model].add(self._clock(), busy_s=call.seconds)

    def on_answer(self, request: WindowRequest, mark: Mark, answer: object) -> None:
        """Count a window by its outcome."""
        del mark
        urgency = urgency_label(request.urgency)
        match answer:
            case DecodeResult():
                outcome = "read_again" if answer.was_doubted else "read"
            case Overloaded():
                outcome = "refused"
            case Exception():
                outcome = "failed"
            case _:
                outcome = "withdrawn"  # the caller was cancelled
        self._windows.labels(request.model, urgency, outcome).inc()
        if isinstance(answer, DecodeResult):
            self._audio.labels(request.model, urgency).inc(request.audio_s)
            unread_s = sum(end - start for start, end in answer.unread)
            self._unread.labels(request.model, urgency).inc(unread_s)
            with self._lock:
                self._last_minutes[request.model].add(self._clock(), audio_s=request.audio_s)

    def real_time_factors(self, models: Iterable[str]) -> dict[str, float | None]:
        """Return those of the last minute; None for a model that decoded nothing."""
        with self._lock:
            return {name: self._last_minutes[name].factor(self._clock()) for name in models}


def urgency_label(urgency: Urgency) -> str:
    """Return the label value of an urgency."""
    return urgency.name.lower()

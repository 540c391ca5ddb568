"""What Prometheus is told of the engine: waits, batches, seconds, and what became of windows."""

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from whisperlive_hybrid.engine.observer import Asked, Mark, ModelCall
from whisperlive_hybrid.errors import Overloaded
from whisperlive_hybrid.types import DecodeResult, Urgency

PERIOD_S: Final = 60
"""What "the last minute" means, in seconds."""


@dataclass(slots=True)
class _Second:
    """What happened in one second of the clock."""

    number: int
    busy_s: float = 0.0
    audio_s: float = 0.0


class LastMinute:
    """Adds up what happened lately, second by second. Not thread-safe."""

    def __init__(self) -> None:
        self._seconds: deque[_Second] = deque()

    def add(self, now: float, *, busy_s: float = 0.0, audio_s: float = 0.0) -> None:
        """Book model time, or audio that was read, at `now` (any clock that goes forward)."""
        number = int(now)
        if not self._seconds or self._seconds[-1].number < number:
            self._seconds.append(_Second(number))
        self._seconds[-1].busy_s += busy_s
        self._seconds[-1].audio_s += audio_s
        self._forget(number)

    def factor(self, now: float) -> float | None:
        """Seconds of model time per second of audio read; None if none was read."""
        self._forget(int(now))
        audio_s = sum(each.audio_s for each in self._seconds)
        return sum(each.busy_s for each in self._seconds) / audio_s if audio_s else None

    def _forget(self, number: int) -> None:
        while self._seconds and self._seconds[0].number <= number - PERIOD_S:
            self._seconds.popleft()


WAIT_BUCKETS: Final = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)
CALL_BUCKETS: Final = (0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)
BATCH_BUCKETS: Final = (1, 2, 4, 8, 16, 32)


class EngineMetrics:
    """An `Observer` that counts."""

    def __init__(
        self, registry: CollectorRegistry, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._lock = threading.Lock()  # guards the last minutes
        self._last_minutes: defaultdict[str, LastMinute] = defaultdict(LastMinute)
        self._waits = Histogram(
            "whisperlive_queue_wait_seconds",
            "How long a piece of work of a window waited for a worker.",
            ["urgency"],
            registry=registry,
            buckets=WAIT_BUCKETS,
        )
        self._calls = Histogram(
            "whisperlive_model_call_duration_seconds",
            "How long calls of the model took.",
            ["model", "kind"],
            registry=registry,
            buckets=CALL_BUCKETS,
        )
        self._batches = Histogram(
            "whisperlive_batch_size",
            "Windows that shared a call of the model.",
            ["model", "kind"],
            registry=registry,
            buckets=BATCH_BUCKETS,
        )
        self._audio = Counter(
            "whisperlive_window_audio_seconds",
            "Audio in the windows that were read; an open utterance is read several times.",
            ["model", "urgency"],
            registry=registry,
        )
        self._windows = Counter(
            "whisperlive_windows",
            "Windows by what became of them.",
            ["model", "urgency", "outcome"],
            registry=registry,
        )
        self._unread = Counter(
            "whisperlive_unread_speech_seconds",
            "Speech, as the detector found it, for which the model wrote nothing.",
            ["model", "urgency"],
            registry=registry,
        )
        for urgency in Urgency:
            self._waits.labels(label_of(urgency))

    def asked(self, asked: Asked) -> Mark:
        """Nothing to count yet."""
        del asked

    def called(self, call: ModelCall) -> None:
        """Count a call."""
        self._calls.labels(call.model, call.kind).observe(call.seconds)
        self._batches.labels(call.model, call.kind).observe(len(call.parts))
        for part in call.parts:
            self._waits.labels(label_of(part.urgency)).observe(call.began - part.queued_at)
        with self._lock:
            self._last_minutes[call.model].add(self._clock(), busy_s=call.seconds)

    def answered(self, asked: Asked, mark: Mark, answer: object) -> None:
        """Count a window."""
        del mark
        urgency = label_of(asked.urgency)
        self._windows.labels(asked.model, urgency, _outcome(answer)).inc()
        if isinstance(answer, DecodeResult):
            self._audio.labels(asked.model, urgency).inc(asked.audio_s)
            unread_s = sum(end - start for start, end in answer.unread)
            self._unread.labels(asked.model, urgency).inc(unread_s)
            with self._lock:
                self._last_minutes[asked.model].add(self._clock(), audio_s=asked.audio_s)

    def real_time_factors(self, models: Iterable[str]) -> dict[str, float | None]:
        """Those of the last minute; None for a model that has read nothing."""
        with self._lock:
            return {name: self._last_minutes[name].factor(self._clock()) for name in models}


def label_of(urgency: Urgency) -> str:
    """A class of work as a label."""
    return urgency.name.lower()


def _outcome(answer: object) -> str:
    match answer:
        case DecodeResult():
            return "read_again" if answer.was_doubted else "read"
        case Overloaded():
            return "refused"
        case Exception():
            return "failed"
        case _:
            return "withdrawn"  # its caller was cancelled

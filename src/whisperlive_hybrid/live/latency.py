"""Latency of the final texts of a live stream, for metrics and traces."""

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final, Protocol

import anyio

from whisperlive_hybrid.language_gate import Read
from whisperlive_hybrid.speech.regions import VadOptions
from whisperlive_hybrid.types import SAMPLE_RATE, Urgency

MOST_MARKS: Final = 4096
"""At least a frame of voice detection apart each, so more than two minutes of audio."""

SPACING: Final = 512
"""Samples between two marks, at least."""


class ArrivalTimes:
    """Maps samples of a stream to the times at which they arrived."""

    def __init__(self) -> None:
        self._ends: deque[int] = deque(maxlen=MOST_MARKS)
        self._times: deque[float] = deque(maxlen=MOST_MARKS)

    def add(self, n_samples: int, now: float) -> None:
        """Record that so many samples have arrived since the beginning."""
        if not self._ends or n_samples - self._ends[-1] >= SPACING:
            self._ends.append(n_samples)
            self._times.append(now)

    def of(self, sample: int) -> float | None:
        """Return when all samples before `sample` were there; None if too old or too new."""
        place = bisect_left(self._ends, sample)
        if place == len(self._ends) or (place == 0 and len(self._ends) == MOST_MARKS):
            return None
        return self._times[place]


class StreamObserver(Protocol):
    """Receives measurements of live streams."""

    def span(self, urgency: Urgency) -> AbstractContextManager[object]:
        """Return a context for the decoding of an utterance: FINAL, or UPDATE for a guess."""

    def on_final(self, latency_s: float) -> None:
        """Receive the time from the arrival of an utterance's speech to the sending of its text."""


class _NoStreamObserver:
    """Measures nothing."""

    def span(self, urgency: Urgency) -> AbstractContextManager[object]:
        """Return a context that does nothing."""
        del urgency
        return nullcontext()

    def on_final(self, latency_s: float) -> None:
        """Ignore it."""


NO_STREAM_OBSERVER: Final[StreamObserver] = _NoStreamObserver()


class LatencyTracker:
    """Measures one stream, from the arrival of audio to the sending of its text."""

    def __init__(self, vad: VadOptions, observer: StreamObserver) -> None:
        self._arrivals = ArrivalTimes()
        self._observer = observer
        # A window goes on after its speech. One that was cut in the middle of speech, at 20 s, does
        # not, and its latency is reported too long by so much.
        self._silence_s = vad.post_roll_s if vad.enabled else 0.0

    def record_audio(self, n_samples: int) -> None:
        """Record that so many samples have arrived since the beginning."""
        self._arrivals.add(n_samples, anyio.current_time())

    def record_text(self, reads: Sequence[Read]) -> None:
        """Record that the text of these windows was sent; silent windows do not count."""
        for window, reading in reads:
            end = round((window.end - self._silence_s) * SAMPLE_RATE)
            if reading.segments and (arrived := self._arrivals.of(end)) is not None:
                self._observer.on_final(anyio.current_time() - arrived)

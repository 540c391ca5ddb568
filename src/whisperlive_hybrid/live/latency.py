"""How long the final texts of a live stream take, and who is told."""

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final, Protocol

import anyio

from whisperlive_hybrid.language_gate import Read
from whisperlive_hybrid.speech.regions import VadOptions
from whisperlive_hybrid.types import SAMPLE_RATE, Urgency, Window

MOST_MARKS: Final = 4096
"""Each at least a frame of voice detection apart, so more than two minutes of audio."""

SPACING: Final = 512
"""Samples between two marks, at least."""


class ArrivalTimes:
    """Remembers at which moment how many samples had been heard."""

    def __init__(self) -> None:
        self._ends: deque[int] = deque(maxlen=MOST_MARKS)
        self._moments: deque[float] = deque(maxlen=MOST_MARKS)

    def heard(self, n_samples: int, now: float) -> None:
        """So many samples have come since the beginning."""
        if not self._ends or n_samples - self._ends[-1] >= SPACING:
            self._ends.append(n_samples)
            self._moments.append(now)

    def of(self, sample: int) -> float | None:
        """When the samples before `sample` were all there; None for what is too old or too new."""
        place = bisect_left(self._ends, sample)
        if place == len(self._ends) or (place == 0 and len(self._ends) == MOST_MARKS):
            return None
        return self._moments[place]


class StreamObserver(Protocol):
    """Whoever measures live streams."""

    def reading(self, urgency: Urgency) -> AbstractContextManager[object]:
        """Entered around every reading of an utterance: FINAL, or UPDATE for a guess."""

    def finalised(self, latency_s: float) -> None:
        """The final text of an utterance was sent so long after its speech had come in."""


class _Nobody:
    """Measures nothing."""

    def reading(self, urgency: Urgency) -> AbstractContextManager[object]:
        """Let it pass."""
        del urgency
        return nullcontext()

    def finalised(self, latency_s: float) -> None:
        """Let it pass."""


NOBODY: Final[StreamObserver] = _Nobody()
"""For a stream that nobody watches."""


class LatencyTracker:
    """Measures one stream, from the arrival of audio to the sending of its text."""

    def __init__(self, vad: VadOptions, observer: StreamObserver) -> None:
        self._arrivals = ArrivalTimes()
        self._observer = observer
        # A window goes on after its speech; one that was cut in mid-speech, at 20 s, does not, and
        # its delay is told too long by so much.
        self._silence_s = vad.post_roll_s if vad.enabled else 0.0

    def heard(self, n_samples: int) -> None:
        """So many samples have come since the beginning."""
        self._arrivals.heard(n_samples, anyio.current_time())

    def sent(self, reads: Sequence[Read]) -> None:
        """What was said in these windows has been sent; where nothing was said, nothing was."""
        for window, reading in reads:
            if reading.segments:
                self._tell(window)

    def _tell(self, window: Window) -> None:
        came = self._arrivals.of(round((window.end - self._silence_s) * SAMPLE_RATE))
        if came is not None:
            self._observer.finalised(anyio.current_time() - came)

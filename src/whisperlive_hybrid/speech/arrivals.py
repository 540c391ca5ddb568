"""When the samples of a live stream came in, for as long as somebody may ask."""

from bisect import bisect_left
from collections import deque
from typing import Final

MOST_MARKS: Final = 4096
"""Each at least a frame of voice detection apart, so more than two minutes of audio."""

SPACING: Final = 512
"""Samples between two marks, at least."""


class Arrivals:
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

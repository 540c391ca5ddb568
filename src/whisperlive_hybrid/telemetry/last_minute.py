"""The real-time factor of the last minute: how long models computed for a second of audio."""

from collections import deque
from dataclasses import dataclass
from typing import Final

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

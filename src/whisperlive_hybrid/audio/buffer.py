"""Samples by absolute index: what a stream has heard and may still need."""

import numpy as np

from whisperlive_hybrid.types import Samples


class SampleBuffer:
    """A queue of samples, addressed by their place in the recording.

    Appending copies once; forgetting is cheap and gives memory back when half of it is idle.
    """

    def __init__(self) -> None:
        self._samples: Samples = np.zeros(0, np.float32)
        self._start = 0  # recording index of _samples[_head]
        self._head = 0
        self._tail = 0

    @property
    def start(self) -> int:
        """Index of the oldest sample still held."""
        return self._start

    @property
    def end(self) -> int:
        """Index just after the newest sample: the number of samples ever appended."""
        return self._start + self._tail - self._head

    def append(self, samples: Samples) -> None:
        """Add samples behind the newest."""
        if self._tail + len(samples) > len(self._samples):
            self._make_room(len(samples))
        self._samples[self._tail : self._tail + len(samples)] = samples
        self._tail += len(samples)

    def slice(self, start: int, end: int) -> Samples:
        """Copy the samples [start, end); all of them must still be held."""
        if not self.start <= start <= end <= self.end:
            raise IndexError(f"[{start}, {end}) is not within [{self.start}, {self.end})")
        offset = self._head - self._start
        return self._samples[start + offset : end + offset].copy()

    def discard_before(self, index: int) -> None:
        """Forget all samples before `index`; a later `slice` may not ask for them."""
        index = min(max(index, self._start), self.end)
        self._head += index - self._start
        self._start = index

    def _make_room(self, n: int) -> None:
        """Move what is held to the front of an array with room for `n` more, and as much again."""
        held = self._samples[self._head : self._tail]
        fresh: Samples = np.empty(2 * (len(held) + n), np.float32)
        fresh[: len(held)] = held
        self._samples, self._head, self._tail = fresh, 0, len(held)

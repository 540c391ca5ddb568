"""A buffer of a stream's samples, addressed by their index in the recording."""

import numpy as np

from whisperlive_hybrid.types import Samples


class SampleBuffer:
    """A queue of samples, addressed by their index in the recording.

    Appending copies samples once. Discarding moves an index; memory is freed by a later append.
    """

    def __init__(self) -> None:
        self._samples: Samples = np.zeros(0, np.float32)
        self._start = 0  # recording index of _samples[_head]
        self._head = 0
        self._tail = 0

    @property
    def start(self) -> int:
        """Index of the oldest sample in the buffer."""
        return self._start

    @property
    def end(self) -> int:
        """Index after the newest sample: the number of samples ever appended."""
        return self._start + self._tail - self._head

    def append(self, samples: Samples) -> None:
        """Add samples after the newest one."""
        if self._tail + len(samples) > len(self._samples):
            # An array of twice the need makes appending cheap on average, and frees what was
            # discarded.
            kept = self._samples[self._head : self._tail]
            self._samples = np.empty(2 * (len(kept) + len(samples)), np.float32)
            self._samples[: len(kept)] = kept
            self._head, self._tail = 0, len(kept)
        self._samples[self._tail : self._tail + len(samples)] = samples
        self._tail += len(samples)

    def slice(self, start: int, end: int) -> Samples:
        """Copy the samples [start, end); raise `IndexError` if any of them was discarded."""
        if not self.start <= start <= end <= self.end:
            raise IndexError(f"[{start}, {end}) is not within [{self.start}, {self.end})")
        offset = self._head - self._start
        return self._samples[start + offset : end + offset].copy()

    def discard_before(self, index: int) -> None:
        """Discard all samples before `index`."""
        index = min(max(index, self._start), self.end)
        self._head += index - self._start
        self._start = index

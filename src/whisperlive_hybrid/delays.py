"""How long the final texts of a live stream take, and who is told."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final, Protocol

import anyio

from whisperlive_hybrid.language_lock import Read
from whisperlive_hybrid.speech.arrivals import Arrivals
from whisperlive_hybrid.speech.regions import VadOptions
from whisperlive_hybrid.types import SAMPLE_RATE, Urgency, Window


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


class Delays:
    """Measures one stream, from the arrival of audio to the sending of its text."""

    def __init__(self, vad: VadOptions, observer: StreamObserver) -> None:
        self._arrivals = Arrivals()
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

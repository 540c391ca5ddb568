"""What is told of the recordings of a batch while they are read, and when that is over."""

from collections.abc import Callable
from dataclasses import dataclass

from whisperlive_hybrid.batch.formats import Texts
from whisperlive_hybrid.batch.manifest import Stamp
from whisperlive_hybrid.batch.plan import Item
from whisperlive_hybrid.errors import WhisperLiveError


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a recording is: seconds of it that are read, of `total` if that is known."""

    item: Item
    done: float
    total: float | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one recording: texts, or the reason why there are none."""

    item: Item
    stamp: Stamp | None
    """Its state before it was read; None where it has none that could be compared."""
    result: Texts | WhisperLiveError


OnProgress = Callable[[Progress], None]

OnOutcome = Callable[[Outcome], bool]
"""Says whether the texts lie where they belong."""

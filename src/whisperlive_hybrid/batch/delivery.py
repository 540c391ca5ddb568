"""Where texts go: into files, or onto standard output in the order of the recordings."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from whisperlive_hybrid.batch.formats import OutputFormat
from whisperlive_hybrid.batch.manifest import Stamp
from whisperlive_hybrid.batch.outcome import OnOutcome, Outcome
from whisperlive_hybrid.batch.plan import Item
from whisperlive_hybrid.errors import BadRequest, WhisperLiveError


class Place(Protocol):
    """Takes the texts of recordings."""

    def put(self, item: Item, stamp: Stamp | None, texts: Mapping[OutputFormat, str]) -> None:
        """Take them; raises `BadRequest` if only these cannot be taken."""


class Printer:
    """Standard output: one recording bare, several each under a line with its name."""

    def __init__(self, *, has_headers: bool) -> None:
        self._has_headers = has_headers
        self._is_first = True

    def put(self, item: Item, stamp: Stamp | None, texts: Mapping[OutputFormat, str]) -> None:
        """Print the texts; headers look like those of `head` and `tail`."""
        del stamp
        if self._has_headers:
            blank = "" if self._is_first else "\n"
            sys.stdout.write(f"{blank}==> {item.source.label} <==\n")
        self._is_first = False
        for text in texts.values():
            sys.stdout.write(text)
        sys.stdout.flush()


@dataclass(slots=True)
class Tally:
    """What has become of a batch."""

    before: int = 0
    """Recordings that an earlier command had done."""
    done: int = 0
    failed: int = 0
    audio_s: float = 0.0

    def summary(self, total: int, elapsed_s: float) -> str:
        """One line; `total` counts all recordings of the batch."""
        parts = [f"{self.done} done"]
        if self.before:
            parts.append(f"{self.before} skipped (done before)")
        if self.failed:
            parts.append(f"{self.failed} failed")
        if missing := total - self.before - self.done - self.failed:
            parts.append(f"{missing} not done")
        speed = f" ({self.audio_s / elapsed_s:.1f} times real time)" if self.audio_s else ""
        return f"{', '.join(parts)}; {self.audio_s:.1f} s of audio in {elapsed_s:.1f} s{speed}."


class Delivery:
    """Brings outcomes to their place, and counts them."""

    def __init__(
        self,
        place: Place,
        tally: Tally,
        on_done: Callable[[Item], None],
        on_failure: Callable[[Item, WhisperLiveError], None],
    ) -> None:
        self._place = place
        self._tally = tally
        self._on_done = on_done
        self._on_failure = on_failure

    def take(self, outcome: Outcome) -> bool:
        """Deliver an outcome; whether there are texts and they lie where they belong.

        Raises `OutOfSpace`: then nothing can be written any more.
        """
        failure = self._put(outcome)
        if failure is None:
            self._on_done(outcome.item)
        else:
            self._tally.failed += 1
            self._on_failure(outcome.item, failure)
        return failure is None

    def _put(self, outcome: Outcome) -> WhisperLiveError | None:
        result = outcome.result
        if isinstance(result, WhisperLiveError):
            return result
        try:
            self._place.put(outcome.item, outcome.stamp, result.by_format)
        except BadRequest as error:
            return error
        self._tally.done += 1
        self._tally.audio_s += result.duration
        return None


class InOrder:
    """Holds outcomes back until all before them have been delivered."""

    def __init__(self, items: Sequence[Item], deliver: OnOutcome) -> None:
        self._awaited = list(reversed(items))
        self._held: dict[Item, Outcome] = {}
        self._deliver = deliver

    def take(self, outcome: Outcome) -> bool:
        """Deliver it as soon as it is its turn; True, since it will be."""
        self._held[outcome.item] = outcome
        while self._awaited and self._awaited[-1] in self._held:
            self._deliver(self._held.pop(self._awaited.pop()))
        return True

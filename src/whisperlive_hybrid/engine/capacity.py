"""How many live streams fit: pure arithmetic over what live work has cost, the time an argument.

A stream within the bounds needs two things of the workers: the final reading of all that is said,
and an update at least every `SLOWEST_UPDATES_S`. What the workers do is no measure of that, since
updates come more often while there is time for them: two streams may keep two workers busy, and a
third would still be served well. So the cost of the two kinds of work is learned apart,
in worker seconds by the wall clock, which makes a machine that other programs load look as slow as
it is. The demand of a stream is that cost times the share of its time in which its client speaks.

What counts is the cost while all workers are busy. A worker that runs alone has the caches and the
memory for itself, and on a loaded machine the kernel favours what rarely runs: beside five busy
processes on two cores, one stream of base had its finals after 1.0 s, and two after 6.2 s.
"""

import math
from dataclasses import dataclass
from enum import Enum
from typing import Final

from whisperlive_hybrid.types import Urgency

DEFAULT_LIVE_LOAD: Final = 0.8
"""Share of the workers' time that live streams may need; the rest keeps finals from queueing."""

FASTEST_UPDATES_S: Final = 0.7
"""More updates than one in so many seconds of speech are not worth their cost."""

SLOWEST_UPDATES_S: Final = 3.0
"""Within so many seconds of speech a stream gets an update, however full the server is."""

TALKING_SHARE: Final = 0.8
"""What a new stream is expected to speak of its time; read speech with its pauses has 0.75."""

SILENT_SHARE: Final = 0.1
"""What a stream that says nothing counts as: it may begin at any time."""

FRESH_S: Final = 30.0
"""How long a measured cost is believed."""

SLOWDOWN: Final = 3.0
"""By how much costs may have grown since they were last believed."""

_COST_MEMORY_S: Final = 15.0
_SPEECH_MEMORY_S: Final = 30.0


class Room(Enum):
    """The room for one more stream."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"
    """What is known is too old to decide it: measure, then ask again."""


class Cost:
    """Worker seconds per unit of work, over about the last `_COST_MEMORY_S` seconds of work."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._units = 0.0
        self._at = -math.inf
        self.per_unit = 0.0
        """0.0 until something was measured."""

    def add(self, seconds: float, units: float, now: float) -> None:
        """Add work that took `seconds` and came to `units`."""
        kept = math.exp(-max(0.0, now - self._at) / _COST_MEMORY_S)
        self._seconds = self._seconds * kept + seconds
        self._units = self._units * kept + units
        self._at = now
        if self._units > 0:
            self.per_unit = self._seconds / self._units


class Speech:
    """The share of its time that an open stream speaks, over about half a minute."""

    def __init__(self, now: float) -> None:
        self._share = TALKING_SHARE
        self._at = now

    def add(self, seconds: float, now: float) -> None:
        """Add `seconds` of speech that have come in."""
        self._share = min(1.0, self._fade(now) + seconds / _SPEECH_MEMORY_S)
        self._at = now

    def share(self, now: float) -> float:
        """Return the share, from `SILENT_SHARE` to 1.0."""
        return max(SILENT_SHARE, self._fade(now))

    def _fade(self, now: float) -> float:
        return self._share * math.exp(-max(0.0, now - self._at) / _SPEECH_MEMORY_S)


@dataclass(frozen=True, slots=True)
class LiveEstimate:
    """The load of the live streams at one moment, and the costs behind it."""

    load: float
    """Share of the workers' time that the open streams need; above 1.0 they cannot be served."""
    capacity: int
    """Live streams, the open ones included, that fit if each more one speaks."""
    update_s: float
    """Worker seconds of an update."""
    final_s_per_s: float
    """Worker seconds that the final reading of a second of speech takes."""


class LiveCapacity:
    """The streams that are open and what they cost. Not thread-safe: the engine holds its lock."""

    def __init__(self, workers: int, bound: float = DEFAULT_LIVE_LOAD) -> None:
        self._workers = workers
        self._bound = bound
        self._updates = Cost()  # per update
        self._finals = Cost()  # per second of audio
        self._streams: set[Speech] = set()
        self._measured_at = -math.inf

    def open(self, now: float) -> Speech:
        """Add a stream; until it has sent audio it counts as one that speaks."""
        stream = Speech(now)
        self._streams.add(stream)
        return stream

    def close(self, stream: Speech) -> None:
        """Remove a stream that has ended."""
        self._streams.discard(stream)

    def learn(self, urgency: Urgency, seconds: float, audio_s: float, now: float) -> None:
        """Learn from a window that took `seconds` of work while all workers were busy."""
        match urgency:
            case Urgency.FINAL:
                self._finals.add(seconds, audio_s, now)
            case Urgency.UPDATE:
                self._updates.add(seconds, 1.0, now)
            case _:
                return  # files take what is left
        self._measured_at = now

    def waste(self, urgency: Urgency, seconds: float, now: float) -> None:
        """Book `seconds` of work on a window that was withdrawn, or on which the model failed.

        A final is withdrawn when the speaker goes on, and its audio is read again. Of updates there
        are no more for that.
        """
        if urgency is Urgency.FINAL:
            self._finals.add(seconds, 0.0, now)

    def room(self, now: float) -> Room:
        """Decide whether one more stream fits; the first always does."""
        if not self._streams:
            return Room.YES
        expected = self._load(now) + self._load_of(TALKING_SHARE)
        if now - self._measured_at <= FRESH_S:
            return Room.YES if expected <= self._bound else Room.NO
        is_cheap = expected > 0 and expected * SLOWDOWN <= self._bound
        return Room.YES if is_cheap else Room.UNKNOWN

    def update_interval(self, now: float) -> float:
        """Return the seconds of new speech that make a stream's next update due.

        As many updates as leave finals their time, at least one every `SLOWEST_UPDATES_S`. An old
        measurement slows no stream down.
        """
        if now - self._measured_at > FRESH_S:
            return FASTEST_UPDATES_S
        speech = self._speech(now)
        left = self._bound * self._workers - speech * self._finals.per_unit
        wanted = speech * self._updates.per_unit
        if left * SLOWEST_UPDATES_S <= wanted:
            return SLOWEST_UPDATES_S
        return max(FASTEST_UPDATES_S, wanted / left)

    def estimate(self, now: float, most: int) -> LiveEstimate:
        """Return the figures for monitoring; `most` is the limit on the number of streams."""
        load, one = self._load(now), self._load_of(TALKING_SHARE)
        more = int(max(0.0, self._bound - load) / one) if one else most
        capacity = max(1, min(most, len(self._streams) + more))
        return LiveEstimate(load, capacity, self._updates.per_unit, self._finals.per_unit)

    def _speech(self, now: float) -> float:
        """Seconds of speech that come in within a second, from all streams."""
        return sum(stream.share(now) for stream in self._streams)

    def _load(self, now: float) -> float:
        return self._load_of(self._speech(now))

    def _load_of(self, speech: float) -> float:
        """Share of the workers that so many seconds of speech in a second need."""
        each = self._finals.per_unit + self._updates.per_unit / SLOWEST_UPDATES_S
        return speech * each / self._workers

"""Voice probabilities to regions of speech: one hysteresis machine for files and live streams.

It eats one probability per frame of 512 samples (32 ms, Silero's step) and answers with the
regions that have ended. Because it looks at nothing but the probabilities seen so far, a file and a
live stream of the same audio are cut at the same samples, however the audio arrives.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

from whisperlive_hybrid.types import SAMPLE_RATE, Region

FRAME: Final = 512
"""Samples per probability."""

SHORTEST_PAUSE: Final = 3 * FRAME
"""A shorter one may lie inside of a word."""


SETTLED_S: Final = 0.5
"""How long before its endpoint an utterance seems to have ended: long enough to read it meanwhile.
Most shorter pauses are followed by more speech, and reading was in vain."""


@dataclass(frozen=True, slots=True)
class VadOptions:
    """When speech begins and ends; seconds are on the recording clock.

    The defaults are those of files, where nobody waits for the end of an utterance: the model reads
    best what it sees with its pauses, and with a second of silence on both sides of speech
    (docs/decisions/0020).
    """

    enabled: bool = True
    """False: silence is decoded too; regions then cover the recording without a gap."""
    threshold: float = 0.5
    """A frame at or above it is speech."""
    min_silence_s: float = 2.0
    """Silence that ends an utterance."""
    pre_roll_s: float = 1.0
    """Audio kept before the first frame of speech, so that no onset is clipped."""
    post_roll_s: float = 1.0
    """Audio kept after the last frame of speech."""
    onset_frames: int = 2
    """Frames of speech in a row that begin an utterance; one alone is a click."""

    @property
    def neg_threshold(self) -> float:
        """Speech that has begun goes on until a frame falls below it (Silero's rule)."""
        return max(self.threshold - 0.15, 0.01)


LIVE_VAD: Final = VadOptions(min_silence_s=1.0, pre_roll_s=0.4, post_roll_s=0.2)
"""For live streams: a balance of text and delay (docs/decisions/0025). The post-roll is short,
since a client may ask for an endpoint that is hardly longer."""


def live_vad(endpoint_s: float) -> VadOptions:
    """`LIVE_VAD` with utterances that end after `endpoint_s` of silence."""
    return replace(LIVE_VAD, min_silence_s=endpoint_s)


@dataclass(slots=True)
class _OpenRegion:
    """A region that has begun; `quiet_since` is where its speech ended, if it has."""

    start: int
    has_speech: bool
    quiet_since: int | None = None
    speech: list[tuple[int, int]] = field(default_factory=list)
    """Where somebody spoke, in samples; the last stretch grows while it lasts."""

    def speak(self, start: int, end: int) -> None:
        """Note that there is speech from `start` to `end`."""
        if self.speech and self.speech[-1][1] == start:
            start = self.speech.pop()[0]
        self.speech.append((start, end))

    def pauses(self) -> list[tuple[int, int]]:
        """The pauses in which it may be cut, [start, end) in samples."""
        found = [(end, start) for (_, end), (start, _) in pairwise(self.speech)]
        return [(end, start) for end, start in found if start - end >= SHORTEST_PAUSE]


class RegionFinder:
    """Finds regions of at most `longest` samples; longer speech is cut where it is quietest."""

    def __init__(self, options: VadOptions, longest: int) -> None:
        self._options = options
        self._longest = longest
        self._pre_roll = round(options.pre_roll_s * SAMPLE_RATE)
        self._post_roll = round(options.post_roll_s * SAMPLE_RATE)
        self._endpoint = options.min_silence_s * SAMPLE_RATE
        self._position = 0  # samples judged so far
        self._onset = 0  # frames of speech in a row while no region is open
        self._closed_end = 0  # where the last region ended; regions never overlap
        self._open = None if options.enabled else _OpenRegion(0, has_speech=False)
        self._recent: deque[float] = deque(maxlen=longest * 2 // 5 // FRAME)  # where a cut may fall

    @property
    def open_start(self) -> int | None:
        """Where the utterance began that is being spoken; None in silence."""
        return self._open.start if self._open and self._open.has_speech else None

    @property
    def open_speech(self) -> tuple[tuple[int, int], ...]:
        """Where somebody spoke in the open region, in samples."""
        return tuple(self._open.speech) if self._open else ()

    @property
    def silence(self) -> int:
        """Samples of silence at the end of the open region; 0 while somebody speaks."""
        if self._open is None or self._open.quiet_since is None:
            return 0
        return self._position - self._open.quiet_since

    @property
    def speculative(self) -> Region | None:
        """The open region as it will end, unless somebody speaks on before the endpoint.

        Told once its post-roll was heard, and `SETTLED_S` before the endpoint at the earliest.
        """
        if self._open is None or not self.silence:
            return None
        soonest = self._endpoint - SETTLED_S * SAMPLE_RATE
        if self.silence < max(self._post_roll, soonest):
            return None
        return Region(self._open.start, self._natural_end(self._open), tuple(self._open.speech))

    @property
    def needed_from(self) -> int:
        """The oldest sample that a region to come may still hold."""
        if self._open is not None:
            return self._open.start
        return self._first_sample(self._position - self._onset * FRAME)

    def end_at(self, sample: int) -> list[Region]:
        """End the open region at `sample`, which lies in a pause of it; the next begins there."""
        cut = sample // FRAME * FRAME
        if self._open is None or cut <= self._open.start:
            return []
        return [self._split(self._open, cut)]

    def push(self, probabilities: Iterable[float]) -> list[Region]:
        """Judge one probability per frame; return the regions that ended, in order."""
        judged = (self._judge(probability) for probability in probabilities)
        return [region for region in judged if region is not None]

    def flush(self, end: int) -> list[Region]:
        """End of the recording after `end` samples: close what is open."""
        if self._open is None and self._onset:  # a word may begin in the very last frame
            self._begin()
        if self._open is None or self._open.start >= end:
            return []
        natural = self._natural_end(self._open) if self._options.enabled else end
        return [self._close(self._open, min(end, natural))]

    def _judge(self, probability: float) -> Region | None:
        self._position += FRAME
        self._recent.append(probability)
        is_speech = probability >= self._options.threshold
        if self._open is None:
            self._onset = self._onset + 1 if is_speech else 0
            if self._onset >= self._options.onset_frames:
                self._begin()
            return None
        region = self._open
        if is_speech:
            region.has_speech, region.quiet_since = True, None
        elif (
            probability < self._options.neg_threshold
            and region.has_speech
            and region.quiet_since is None
        ):
            region.quiet_since = self._position - FRAME
        if region.has_speech and region.quiet_since is None:
            region.speak(self._position - FRAME, self._position)
        return self._end_if_due(region)

    def _begin(self) -> None:
        """Open a region with the frames of speech just heard."""
        spoken_from = self._position - self._onset * FRAME
        self._open = _OpenRegion(self._first_sample(spoken_from), has_speech=True)
        self._open.speak(spoken_from, self._position)
        self._onset = 0

    def _end_if_due(self, region: _OpenRegion) -> Region | None:
        if region.quiet_since is not None and self.silence >= self._endpoint:
            return self._close(region, self._natural_end(region))
        if self._position + FRAME - region.start <= self._longest:
            return None
        if region.quiet_since is not None:
            return self._close(region, self._natural_end(region))
        return self._cut(region)

    def _cut(self, region: _OpenRegion) -> Region:
        """End a region in the middle of speech, in the longest of its last pauses.

        Where there is none, at the quietest of its last frames.
        """
        frames = list(self._recent)
        first = self._position - len(frames) * FRAME
        pauses = [(start - end, start) for end, start in region.pauses() if end >= first]
        if pauses:
            length, start = max(pauses)
            cut = start - length // 2 // FRAME * FRAME
        else:
            quietest = min(
                range(1, len(frames) - 1),  # frames with a neighbour on each side, which count half
                key=lambda i: (frames[i - 1] + 2 * frames[i] + frames[i + 1], -i),
            )
            cut = first + quietest * FRAME
        return self._split(region, cut)

    def _split(self, region: _OpenRegion, cut: int) -> Region:
        """End a region at `cut`; what was heard behind it is the beginning of the next."""
        self._closed_end = cut
        self._open = _OpenRegion(cut, region.has_speech, region.quiet_since)
        self._open.speech = [(max(s, cut), e) for s, e in region.speech if e > cut]
        return Region(region.start, cut, _before(cut, region.speech))

    def _close(self, region: _OpenRegion, end: int) -> Region:
        self._closed_end = end
        self._open = None if self._options.enabled else _OpenRegion(end, has_speech=False)
        return Region(region.start, end, _before(end, region.speech))

    def _first_sample(self, speech_start: int) -> int:
        """Where a region begins whose speech begins at `speech_start`."""
        return max(self._closed_end, speech_start - self._pre_roll)

    def _natural_end(self, region: _OpenRegion) -> int:
        """Where the region ends if nobody speaks any more."""
        if region.quiet_since is None:
            return self._position
        return min(self._position, region.quiet_since + self._post_roll)


def _before(end: int, speech: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The stretches of speech that begin before `end`, the one across it cut there."""
    return tuple((start, min(last, end)) for start, last in speech if start < end)

"""Regions of speech from voice probabilities, for files and live streams alike.

`RegionFinder` is a state machine with hysteresis: it takes one probability per frame of 512 samples
(32 ms, Silero's step) and returns the regions that have ended. It depends only on the probabilities
so far, so that a file and a live stream of the same audio are cut at the same samples.
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
"""Samples; a shorter pause may lie inside of a word."""

SPECULATION_S: Final = 0.5
"""How long before its endpoint an utterance is decoded as if it had ended: long enough to have the
text at the endpoint. Most pauses that are shorter than that are followed by more speech."""


@dataclass(frozen=True, slots=True)
class VadOptions:
    """When speech begins and ends.

    The defaults are for files, where the delay does not matter: the model reads an utterance best
    with its pauses, and with a second of silence on both sides of it (docs/decisions/0020).
    """

    enabled: bool = True
    """If False, silence is decoded too: the regions cover the recording without a gap."""
    threshold: float = 0.5
    """Probability from which a frame is speech."""
    min_silence_s: float = 2.0
    """Silence that ends an utterance."""
    pre_roll_s: float = 1.0
    """Audio in the region before the first frame of speech, so that no onset is clipped."""
    post_roll_s: float = 1.0
    """Audio in the region after the last frame of speech."""
    onset_frames: int = 2
    """Consecutive frames of speech that begin an utterance; a single one is a click."""

    @property
    def neg_threshold(self) -> float:
        """Probability below which speech that has begun ends (Silero's rule)."""
        return max(self.threshold - 0.15, 0.01)


LIVE_VAD: Final = VadOptions(min_silence_s=1.0, pre_roll_s=0.4, post_roll_s=0.2)
"""For live streams: a balance of word errors and delay (docs/decisions/0025). The post-roll is
short, because a client may request an endpoint that is hardly longer."""


def live_vad(endpoint_s: float) -> VadOptions:
    """Return `LIVE_VAD` with utterances that end after `endpoint_s` of silence."""
    return replace(LIVE_VAD, min_silence_s=endpoint_s)


@dataclass(slots=True)
class _OpenRegion:
    """A region that has begun; `quiet_since` is the end of its speech, None during speech."""

    start: int
    has_speech: bool
    quiet_since: int | None = None
    speech: list[tuple[int, int]] = field(default_factory=list)
    """Stretches of speech in samples; the last one grows during speech."""

    def add_speech(self, start: int, end: int) -> None:
        """Add speech from `start` to `end`, or extend the last stretch."""
        if self.speech and self.speech[-1][1] == start:
            start = self.speech.pop()[0]
        self.speech.append((start, end))


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
        # Speech without a pause is cut in the last two fifths of a region (docs/decisions/0009).
        self._recent: deque[float] = deque(maxlen=longest * 2 // 5 // FRAME)

    @property
    def open_start(self) -> int | None:
        """First sample of the open utterance; None in silence."""
        return self._open.start if self._open and self._open.has_speech else None

    @property
    def open_speech(self) -> tuple[tuple[int, int], ...]:
        """Stretches of speech in the open region, in samples."""
        return tuple(self._open.speech) if self._open else ()

    @property
    def silence(self) -> int:
        """Samples of silence at the end of the open region; 0 during speech."""
        if self._open is None or self._open.quiet_since is None:
            return 0
        return self._position - self._open.quiet_since

    @property
    def speculative(self) -> Region | None:
        """The open region as it will end if there is no more speech before the endpoint.

        None until its post-roll is complete, and until `SPECULATION_S` before the endpoint.
        """
        if self._open is None or not self.silence:
            return None
        soonest = self._endpoint - SPECULATION_S * SAMPLE_RATE
        if self.silence < max(self._post_roll, soonest):
            return None
        return Region(self._open.start, self._natural_end(self._open), tuple(self._open.speech))

    @property
    def needed_from(self) -> int:
        """The oldest sample that a future region may contain."""
        if self._open is not None:
            return self._open.start
        return self._first_sample(self._position - self._onset * FRAME)

    def end_at(self, sample: int) -> list[Region]:
        """End the open region at `sample`, in one of its pauses; the next region begins there."""
        cut = sample // FRAME * FRAME
        if self._open is None or cut <= self._open.start:
            return []
        return [self._split(self._open, cut)]

    def push(self, probabilities: Iterable[float]) -> list[Region]:
        """Add the probabilities of the next frames; return the regions that ended, in order."""
        ended = (self._add_frame(probability) for probability in probabilities)
        return [region for region in ended if region is not None]

    def flush(self, end: int) -> list[Region]:
        """End the recording after `end` samples; return the open region, if any."""
        # A word may begin in the last frame, which is then not followed by a second one.
        if self._open is None and self._onset:
            self._begin()
        if self._open is None or self._open.start >= end:
            return []
        natural = self._natural_end(self._open) if self._options.enabled else end
        return [self._close(self._open, min(end, natural))]

    def _add_frame(self, probability: float) -> Region | None:
        """Add the probability of the next frame; return the region that ended with it."""
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
            # Hysteresis, as in Silero: a frame between the thresholds continues speech or silence.
            region.quiet_since = self._position - FRAME
        if region.has_speech and region.quiet_since is None:
            region.add_speech(self._position - FRAME, self._position)
        # A region ends at its endpoint, or when one more frame would make it too long: then in
        # the silence at its end, if there is any, else in the middle of speech.
        if region.quiet_since is not None and self.silence >= self._endpoint:
            return self._close(region, self._natural_end(region))
        if self._position + FRAME - region.start <= self._longest:
            return None
        if region.quiet_since is not None:
            return self._close(region, self._natural_end(region))
        return self._split(region, self._find_cut(region))

    def _begin(self) -> None:
        """Open a region that begins with the last frames of speech."""
        speech_start = self._position - self._onset * FRAME
        self._open = _OpenRegion(self._first_sample(speech_start), has_speech=True)
        self._open.add_speech(speech_start, self._position)
        self._onset = 0

    def _find_cut(self, region: _OpenRegion) -> int:
        """Return the sample at which to cut continuous speech.

        It is the middle of the longest of the last pauses, else the quietest of the last frames.
        """
        frames = list(self._recent)
        first = self._position - len(frames) * FRAME
        pauses = [
            (start - end, start)
            for (_, end), (start, _) in pairwise(region.speech)
            if start - end >= SHORTEST_PAUSE and end >= first
        ]
        if pauses:
            length, start = max(pauses)
            return start - length // 2 // FRAME * FRAME
        # The neighbours of a frame count half, so that a gap of three frames beats one frame.
        quietest = min(
            range(1, len(frames) - 1),
            key=lambda i: (frames[i - 1] + 2 * frames[i] + frames[i + 1], -i),
        )
        return first + quietest * FRAME

    def _split(self, region: _OpenRegion, cut: int) -> Region:
        """End a region at `cut`; the rest of it is the beginning of the next one."""
        self._closed_end = cut
        self._open = _OpenRegion(cut, region.has_speech, region.quiet_since)
        self._open.speech = [(max(s, cut), e) for s, e in region.speech if e > cut]
        return Region(region.start, cut, _speech_before(cut, region.speech))

    def _close(self, region: _OpenRegion, end: int) -> Region:
        self._closed_end = end
        self._open = None if self._options.enabled else _OpenRegion(end, has_speech=False)
        return Region(region.start, end, _speech_before(end, region.speech))

    def _first_sample(self, speech_start: int) -> int:
        """Return the first sample of a region whose speech begins at `speech_start`."""
        return max(self._closed_end, speech_start - self._pre_roll)

    def _natural_end(self, region: _OpenRegion) -> int:
        """Return the end of a region if there is no more speech."""
        if region.quiet_since is None:
            return self._position
        return min(self._position, region.quiet_since + self._post_roll)


def _speech_before(end: int, speech: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return the stretches of speech before `end`; one that spans it is cut there."""
    return tuple((start, min(last, end)) for start, last in speech if start < end)

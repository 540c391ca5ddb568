"""Windows of samples from regions of speech, and window times as recording times."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from whisperlive_hybrid.audio.buffer import SampleBuffer
from whisperlive_hybrid.speech.regions import RegionFinder, VadOptions
from whisperlive_hybrid.types import SAMPLE_RATE, Region, Samples, Segment, Window, WindowSpan, Word

LONGEST_UTTERANCE_S: Final = 20.0
"""Longest live utterance; speech without a pause is cut there. A model's card may lower it."""


class WindowCutter:
    """Cuts a stream of samples into windows, one per region of speech.

    It buffers no more audio than the open region and its pre-roll.
    """

    def __init__(self, options: VadOptions, longest_s: float) -> None:
        self._regions = RegionFinder(options, round(longest_s * SAMPLE_RATE))
        self._buffer = SampleBuffer()

    @property
    def n_samples(self) -> int:
        """Number of samples pushed so far."""
        return self._buffer.end

    @property
    def open_start(self) -> int | None:
        """First sample of the open utterance; None in silence."""
        return self._regions.open_start

    @property
    def silence(self) -> int:
        """Samples of silence at the end of the open utterance; 0 during speech."""
        return self._regions.silence

    def push(self, samples: Samples, probabilities: Iterable[float]) -> list[Window]:
        """Add samples and the probabilities of the frames they complete; return ended windows."""
        self._buffer.append(samples)
        return self._windows(self._regions.push(probabilities))

    def flush(self) -> list[Window]:
        """End the recording; return the window of the open region, if any."""
        return self._windows(self._regions.flush(self._buffer.end))

    def end_at(self, sample: int) -> list[Window]:
        """End the open utterance at `sample`, in one of its pauses; the next one begins there.

        Return its window, or an empty list if no utterance is open before `sample`.
        """
        return self._windows(self._regions.end_at(sample))

    def open_window(self) -> Window | None:
        """Return the window of the open utterance up to now; None in silence."""
        start = self._regions.open_start
        if start is None:
            return None
        return self._window(Region(start, self._buffer.end, self._regions.open_speech))

    def speculative_window(self) -> Window | None:
        """Return the window of the open utterance as it will end if there is no more speech.

        None before `SPECULATION_S`. The window can be decoded ahead of the endpoint: the final one
        then has the same samples.
        """
        region = self._regions.speculative
        return self._window(region) if region else None

    def _windows(self, regions: Sequence[Region]) -> list[Window]:
        windows = [self._window(region) for region in regions]
        # Only now: the windows above may begin before what later regions need.
        self._buffer.discard_before(self._regions.needed_from)
        return windows

    def _window(self, region: Region) -> Window:
        # The last frame of a recording is padded: a region may end after the last sample.
        end = min(region.end, self._buffer.end)
        samples = self._buffer.slice(region.start, end)
        speech = tuple(
            ((start - region.start) / SAMPLE_RATE, (min(last, end) - region.start) / SAMPLE_RATE)
            for start, last in region.speech
        )
        return Window(samples, (WindowSpan(0, region.start, len(samples)),), speech)


def recording_time(window: Window, time: float, *, is_end: bool = False) -> float:
    """Convert a window time to recording time, in seconds.

    At a border of two spans, `is_end` selects the end of the earlier span over the start of the
    later one. Times outside of the window are moved to its borders.
    """
    sample = round(time * SAMPLE_RATE)  # rounding errors must not move a time across a border
    for span in window.spans:
        within = sample - span.window_sample
        if within < span.length or (is_end and within <= span.length):
            return (span.recording_sample + max(0, within)) / SAMPLE_RATE
    return window.end


def to_recording_clock(window: Window, segments: Iterable[Segment]) -> list[Segment]:
    """Return the segments of a window with all their times on the recording clock."""
    converted: list[Segment] = []
    for segment in segments:
        start, end = _to_recording_times(window, segment.start, segment.end)
        words = segment.words and tuple(
            Word(word.text, *_to_recording_times(window, word.start, word.end), word.probability)
            for word in segment.words
        )
        converted.append(replace(segment, start=start, end=end, words=words))
    return converted


def _to_recording_times(window: Window, start: float, end: float) -> tuple[float, float]:
    """Convert a start and an end; a word of length 0 at a border of spans keeps that length."""
    converted = recording_time(window, start)
    return converted, max(converted, recording_time(window, end, is_end=True))

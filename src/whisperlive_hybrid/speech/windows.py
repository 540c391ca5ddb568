"""Regions to windows, and times on a window back to times in the recording."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from whisperlive_hybrid.audio.buffer import SampleBuffer
from whisperlive_hybrid.speech.regions import RegionFinder, VadOptions
from whisperlive_hybrid.types import SAMPLE_RATE, Region, Samples, Segment, Window, WindowSpan, Word

LONGEST_UTTERANCE_S: Final = 20.0
"""Where live speech without a pause is cut at the latest; a model's card may ask for less."""


class WindowCutter:
    """Cuts a stream of samples into windows, one per region of speech, as it arrives.

    Holds no more audio than the open region and its pre-roll.
    """

    def __init__(self, options: VadOptions, longest_s: float) -> None:
        self._regions = RegionFinder(options, round(longest_s * SAMPLE_RATE))
        self._buffer = SampleBuffer()

    @property
    def n_samples(self) -> int:
        """Samples pushed so far."""
        return self._buffer.end

    @property
    def open_start(self) -> int | None:
        """Where the utterance began that is being spoken; None in silence."""
        return self._regions.open_start

    @property
    def silence(self) -> int:
        """Samples of silence at the end of the utterance that is open; 0 while somebody speaks."""
        return self._regions.silence

    def push(self, samples: Samples, probabilities: Iterable[float]) -> list[Window]:
        """Take samples and the probabilities of the frames they complete; return ended windows."""
        self._buffer.append(samples)
        return self._windows(self._regions.push(probabilities))

    def flush(self) -> list[Window]:
        """End of the recording: what is open becomes a window."""
        return self._windows(self._regions.flush(self._buffer.end))

    def end_at(self, sample: int) -> list[Window]:
        """End the open utterance at `sample`, which lies in a pause of it; the next begins there.

        Returns its window, or nothing where there is nothing to end.
        """
        return self._windows(self._regions.end_at(sample))

    def open_window(self) -> Window | None:
        """The utterance that is being spoken, as far as it was heard; None in silence."""
        start = self._regions.open_start
        if start is None:
            return None
        return self._window(Region(start, self._buffer.end, self._regions.open_speech))

    def speculative_window(self) -> Window | None:
        """The open utterance just as it will end, once its post-roll of silence was heard.

        It can be read ahead of the endpoint: the window that ends there has the same samples,
        unless somebody speaks on.
        """
        region = self._regions.speculative
        return self._window(region) if region else None

    def _windows(self, regions: Sequence[Region]) -> list[Window]:
        windows = [self._window(region) for region in regions]
        self._buffer.discard_before(self._regions.needed_from)
        return windows

    def _window(self, region: Region) -> Window:
        end = min(region.end, self._buffer.end)
        samples = self._buffer.slice(region.start, end)
        speech = tuple(
            ((start - region.start) / SAMPLE_RATE, (min(last, end) - region.start) / SAMPLE_RATE)
            for start, last in region.speech
        )
        return Window(samples, (WindowSpan(0, region.start, len(samples)),), speech)


def recording_time(window: Window, time: float, *, is_end: bool = False) -> float:
    """Place a window time on the recording clock; `is_end` decides for the earlier span at a seam.

    Times before or after the window are pulled to its borders.
    """
    sample = round(time * SAMPLE_RATE)  # in floats, a time at a seam may fall short of it
    for span in window.spans:
        within = sample - span.window_sample
        if within < span.length or (is_end and within <= span.length):
            return (span.recording_sample + max(0, within)) / SAMPLE_RATE
    return window.end


def to_recording_clock(window: Window, segments: Iterable[Segment]) -> list[Segment]:
    """The segments of a window with all their times moved to the recording clock."""
    return [_moved(window, segment) for segment in segments]


def _moved(window: Window, segment: Segment) -> Segment:
    start, end = _placed(window, segment.start, segment.end)
    words = segment.words and tuple(
        Word(word.text, *_placed(window, word.start, word.end), word.probability)
        for word in segment.words
    )
    return replace(segment, start=start, end=end, words=words)


def _placed(window: Window, start: float, end: float) -> tuple[float, float]:
    """A start and an end on the recording clock; what has no length at a seam stays so."""
    placed = recording_time(window, start)
    return placed, max(placed, recording_time(window, end, is_end=True))

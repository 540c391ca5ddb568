"""One recording through the HTTP server: speed, accuracy, memory and the delay of short clips."""

import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import anyio
import anyio.to_thread

from whisperlive_hybrid.bench.corpus import Recording
from whisperlive_hybrid.bench.http_client import UploadResult, upload_recording
from whisperlive_hybrid.bench.scoring import words_in
from whisperlive_hybrid.bench.server import read_usage
from whisperlive_hybrid.text.wer import edit_distance

SAMPLED_EVERY_S: Final = 0.25
"""Interval between measurements of the server's memory."""

CLIPS_IDLE: Final = 5
"""Short clips that an idle server transcribes, one after another, after one for warming up."""

CLIP_EVERY_S: Final = 1.5
"""Pause between a response and the next short clip, while the long file is transcribed."""


@dataclass(frozen=True, slots=True)
class FileRun:
    """The figures of one recording with one program; seconds, MB and shares."""

    reader: str
    """The program and its configuration."""
    audio_s: float
    seconds: float
    wer: float
    cpu_s: float | None
    """User and system time of the process; None if it is on another machine."""
    idle_rss_mb: float | None
    """Resident memory with the model loaded, before the first file."""
    peak_rss_mb: float | None

    @property
    def speed(self) -> float:
        """Audio seconds per second."""
        return self.audio_s / self.seconds

    @property
    def growth_mb(self) -> float | None:
        """Memory at its peak above the idle process."""
        if self.peak_rss_mb is None or self.idle_rss_mb is None:
            return None
        return self.peak_rss_mb - self.idle_rss_mb


@dataclass(frozen=True, slots=True)
class ClipWait:
    """The time to transcribe a short clip; medians in s."""

    idle_s: float
    busy_s: float | None
    """While a long file was transcribed; None if that ended before the first response."""
    n_busy: int
    """Clips transcribed in that time."""

    @property
    def ratio(self) -> float | None:
        """Time on the busy server over that on the idle server."""
        return self.busy_s / self.idle_s if self.busy_s is not None else None


class MemoryPeak:
    """The peak of resident memory, in MB."""

    def __init__(self) -> None:
        self.rss_mb = 0.0


def word_error_rate(recording: Recording, text: str) -> float:
    """Return the edits per word of the reference, as a share."""
    return edit_distance(recording.words, words_in(text)) / len(recording.words)


async def measure_server(
    url: str, pid: int | None, recording: Recording, idle_rss_mb: float | None
) -> FileRun:
    """Upload a recording and measure the server meanwhile."""
    before = read_usage(pid) if pid is not None else None
    async with watch_memory(pid) as peak:
        result = await _upload(url, recording)
    after = read_usage(pid) if pid is not None else None
    wer = await anyio.to_thread.run_sync(word_error_rate, recording, result.text)
    return FileRun(
        reader="HTTP server",
        audio_s=recording.duration,
        seconds=result.seconds,
        wer=wer,
        cpu_s=after.cpu_s - before.cpu_s if before and after else None,
        idle_rss_mb=idle_rss_mb,
        peak_rss_mb=peak.rss_mb if pid is not None else None,
    )


@asynccontextmanager
async def watch_memory(pid: int | None) -> AsyncIterator[MemoryPeak]:
    """Measure the memory of a process in the background."""
    peak = MemoryPeak()

    async def sample(process: int) -> None:
        while True:
            usage = await anyio.to_thread.run_sync(read_usage, process)
            peak.rss_mb = max(peak.rss_mb, usage.rss_mb)
            await anyio.sleep(SAMPLED_EVERY_S)

    async with anyio.create_task_group() as tasks:
        if pid is not None:
            tasks.start_soon(sample, pid)
        yield peak
        tasks.cancel_scope.cancel()


async def measure_idle(url: str, clip: Recording) -> list[float]:
    """Return the seconds that each of `CLIPS_IDLE` clips took on an otherwise idle server."""
    results = [await _upload(url, clip) for _ in range(CLIPS_IDLE + 1)]
    return [result.seconds for result in results[1:]]  # the first one warms the server up


@asynccontextmanager
async def send_clips(url: str, clip: Recording | None) -> AsyncIterator[list[float]]:
    """Upload the clip repeatedly in the background; yields the seconds of each response."""
    waits: list[float] = []

    async def send(clip: Recording) -> None:
        while True:
            await anyio.sleep(CLIP_EVERY_S)
            waits.append((await _upload(url, clip)).seconds)

    async with anyio.create_task_group() as tasks:
        if clip is not None:
            tasks.start_soon(send, clip)
        yield waits
        tasks.cancel_scope.cancel()


def summarise_waits(idle: list[float], busy: list[float]) -> ClipWait:
    """Return the medians of the waits."""
    return ClipWait(
        idle_s=statistics.median(idle),
        busy_s=statistics.median(busy) if busy else None,
        n_busy=len(busy),
    )


async def _upload(url: str, recording: Recording) -> UploadResult:
    # Abandoned on cancellation: a thread that waits for a response cannot be interrupted.
    return await anyio.to_thread.run_sync(upload_recording, url, recording, abandon_on_cancel=True)

"""One recording through the file door: how fast, how right, what memory, and who had to wait."""

import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import anyio
import anyio.to_thread

from whisperlive_hybrid.bench.corpus import Recording
from whisperlive_hybrid.bench.http_client import UploadResult, upload_recording
from whisperlive_hybrid.bench.scoring import edits, words_in
from whisperlive_hybrid.bench.server import read_usage

SAMPLED_EVERY_S: Final = 0.25
"""How often the memory of the server is looked at."""

CLIPS_IDLE: Final = 5
"""Short clips that an idle server answers, one after another, behind one that warms it."""

CLIP_EVERY_S: Final = 1.5
"""Between the answer to a short clip and the next one, while the long file is read."""


@dataclass(frozen=True, slots=True)
class FileRun:
    """The figures of one recording, read by one program; seconds, MB and shares."""

    reader: str
    """Which program, and how it was called."""
    audio_s: float
    seconds: float
    wer: float
    cpu_s: float | None
    """User and system time of the reading process; None if it is out of sight."""
    idle_rss_mb: float | None
    """Resident memory with the model loaded, before anything was read."""
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
    """How long a short clip took; medians in s."""

    idle_s: float
    busy_s: float | None
    """While a long file was read; None if that was over before the first answer."""
    n_busy: int
    """Clips answered in that time."""

    @property
    def ratio(self) -> float | None:
        """How many times as long as on an idle server."""
        return self.busy_s / self.idle_s if self.busy_s is not None else None


class MemoryPeak:
    """The most resident memory that was seen, in MB."""

    def __init__(self) -> None:
        self.rss_mb = 0.0


def word_error_rate(recording: Recording, text: str) -> float:
    """Edits per word of the reference, as a share."""
    return edits(recording.words, words_in(text)) / len(recording.words)


async def measure_server(
    url: str, pid: int | None, recording: Recording, idle_rss_mb: float | None
) -> FileRun:
    """Upload a recording and watch the server meanwhile."""
    before = read_usage(pid) if pid is not None else None
    async with watch_memory(pid) as peak:
        answer = await _uploaded(url, recording)
    after = read_usage(pid) if pid is not None else None
    wer = await anyio.to_thread.run_sync(word_error_rate, recording, answer.text)
    return FileRun(
        reader="file door",
        audio_s=recording.duration,
        seconds=answer.seconds,
        wer=wer,
        cpu_s=after.cpu_s - before.cpu_s if before and after else None,
        idle_rss_mb=idle_rss_mb,
        peak_rss_mb=peak.rss_mb if pid is not None else None,
    )


@asynccontextmanager
async def watch_memory(pid: int | None) -> AsyncIterator[MemoryPeak]:
    """Look at a process's memory again and again while inside."""
    peak = MemoryPeak()

    async def look(process: int) -> None:
        while True:
            seen = await anyio.to_thread.run_sync(read_usage, process)
            peak.rss_mb = max(peak.rss_mb, seen.rss_mb)
            await anyio.sleep(SAMPLED_EVERY_S)

    async with anyio.create_task_group() as tasks:
        if pid is not None:
            tasks.start_soon(look, pid)
        yield peak
        tasks.cancel_scope.cancel()


async def measure_idle(url: str, clip: Recording) -> list[float]:
    """Seconds that each of `CLIPS_IDLE` clips took on a server that does nothing else."""
    answers = [await _uploaded(url, clip) for _ in range(CLIPS_IDLE + 1)]
    return [answer.seconds for answer in answers[1:]]


@asynccontextmanager
async def send_clips(url: str, clip: Recording | None) -> AsyncIterator[list[float]]:
    """Send the clip again and again while inside; the seconds that each answer took."""
    waits: list[float] = []

    async def ask(clip: Recording) -> None:
        while True:
            await anyio.sleep(CLIP_EVERY_S)
            waits.append((await _uploaded(url, clip)).seconds)

    async with anyio.create_task_group() as tasks:
        if clip is not None:
            tasks.start_soon(ask, clip)
        yield waits
        tasks.cancel_scope.cancel()


def summarise_waits(idle: list[float], busy: list[float]) -> ClipWait:
    """The medians."""
    return ClipWait(
        idle_s=statistics.median(idle),
        busy_s=statistics.median(busy) if busy else None,
        n_busy=len(busy),
    )


async def _uploaded(url: str, recording: Recording) -> UploadResult:
    return await anyio.to_thread.run_sync(upload_recording, url, recording, abandon_on_cancel=True)

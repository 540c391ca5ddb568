"""One load: N concurrent streams, optionally with file uploads, and the server's figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import anyio
import anyio.to_thread

from whisperlive_hybrid.bench.client import StreamEnd, StreamResult, run_stream
from whisperlive_hybrid.bench.corpus import SHORTEST_PAUSE_S, Corpus
from whisperlive_hybrid.bench.http_client import FileTally, keep_in_flight
from whisperlive_hybrid.bench.scoring import Quality, pool_quality, score_stream
from whisperlive_hybrid.bench.server import read_usage

SPREAD_S: Final = 8.0
"""The streams of a load start evenly over so many seconds, since real speakers do not start
together."""


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """The parameters that all loads of a benchmark share."""

    url: str
    seconds: float = 120.0
    """Length of each stream."""
    files: int = 0
    """Concurrent file uploads, each as long as a stream."""
    http_url: str = ""
    server_pid: int | None = None
    """Process whose CPU time and memory to measure; None for a server on another machine."""
    detect_language: bool = False
    seed: int = 0
    shortest_pause: float = SHORTEST_PAUSE_S
    speed: float = 1.0
    """For tests of the harness; see `client.run_stream`."""


@dataclass(frozen=True, slots=True)
class LoadResult:
    """The figures of one load."""

    streams: int
    quality: Quality
    stream_edits: tuple[int, ...]
    """Word errors of each stream, in order; stream i has the same speech in every load."""
    stream_words: tuple[int, ...]
    """Words of the reference of each stream."""
    refused: int
    lost: int
    reasons: tuple[str, ...]
    """Of refused and lost streams, without duplicates."""
    messages: int
    """`segments` messages of all streams."""
    lateness: float
    """Delay of the latest chunk, in s. Beyond 0.1 s the client was too slow, or blocked."""
    cpu_s_per_audio_s: float | None
    """The server's, over live audio and completed files together; None without `server_pid`."""
    rss_mb: float | None
    """The server's resident memory at the end."""
    files_completed: int
    files_refused: int
    file_audio_s_per_s: float | None
    """Audio seconds of completed files per second, of all uploads together."""


async def run_load(plan: LoadPlan, corpus: Corpus, streams: int) -> LoadResult:
    """Put a load on the server and measure it."""
    pid = plan.server_pid
    before = read_usage(pid) if pid is not None else None
    results, tally = await _run_streams(plan, corpus, streams)
    after = read_usage(pid) if pid is not None else None
    # In a thread, since aligning words takes long; a refused stream has every word wrong.
    scores = await anyio.to_thread.run_sync(
        lambda: [score_stream(result.speech.reference, result.events) for result in results]
    )
    finished = [result for result in results if result.outcome is StreamEnd.FINISHED]
    audio_s = sum(result.speech.duration for result in finished) + tally.audio_s
    cpu_s = after.cpu_s - before.cpu_s if before and after else None
    per_upload = tally.audio_s_per_s
    return LoadResult(
        streams=streams,
        quality=pool_quality(scores, sum(result.revisions for result in results)),
        stream_edits=tuple(score.edits for score in scores),
        stream_words=tuple(score.reference_words for score in scores),
        refused=sum(result.outcome is StreamEnd.REFUSED for result in results),
        lost=sum(result.outcome is StreamEnd.LOST for result in results),
        reasons=tuple(sorted({result.reason for result in results if result.reason})),
        messages=sum(result.messages for result in results),
        lateness=max(result.lateness for result in results),
        cpu_s_per_audio_s=cpu_s / audio_s if cpu_s is not None and audio_s else None,
        rss_mb=after.rss_mb if after else None,
        files_completed=tally.completed,
        files_refused=tally.refused,
        file_audio_s_per_s=per_upload * plan.files if per_upload is not None else None,
    )


async def _run_streams(
    plan: LoadPlan, corpus: Corpus, streams: int
) -> tuple[list[StreamResult], FileTally]:
    """Run all streams to their end, and uploads from the start of the first to the last end."""
    tally = FileTally()
    results: dict[int, StreamResult] = {}

    async def run(stream: int) -> None:
        speech = corpus.compose_speech(stream, plan.seconds, plan.seed, plan.shortest_pause)
        await anyio.sleep(SPREAD_S * stream / streams / plan.speed)
        language = None if plan.detect_language else speech.language
        results[stream] = await run_stream(plan.url, speech, language, plan.speed)

    async with anyio.create_task_group() as background:
        if plan.files:
            # Number `streams` is the first that no stream uses.
            file = corpus.compose_speech(streams, plan.seconds, plan.seed).samples
            for _ in range(plan.files):
                background.start_soon(keep_in_flight, plan.http_url, file, tally)
        async with anyio.create_task_group() as clients:
            for stream in range(streams):
                clients.start_soon(run, stream)
        background.cancel_scope.cancel()
    return [results[stream] for stream in range(streams)], tally


MAX_COMMIT_P95_S: Final = 3.0
MAX_FINAL_P95_S: Final = 1.5
MAX_SLOPE: Final = 0.01
"""Seconds that the commit delay may grow per second of stream."""
MAX_WER_LOSS: Final = 0.005
"""Largest increase of the word error rate by load, as a share: half a point."""


def find_shortfalls(load: LoadResult, smaller: Sequence[LoadResult]) -> tuple[str, ...]:
    """Return the criteria that a load missed; empty if the server held it.

    `smaller` are loads of fewer streams on the same server. Missing words have no delay: they
    count as errors.
    """
    figures = load.quality
    if not (figures.commit and figures.final) or figures.slope is None:
        return load.reasons or ("no words",)
    missing = load.refused + load.lost
    loss = measure_wer_loss(load, smaller)
    checks = (
        (missing > 0, f"{missing} refused or lost"),
        (figures.commit.p95 > MAX_COMMIT_P95_S, f"p95 commit {figures.commit.p95:.2f} s"),
        (figures.final.p95 > MAX_FINAL_P95_S, f"p95 final {figures.final.p95:.2f} s"),
        (figures.slope > MAX_SLOPE, f"slope {figures.slope:.3f} s/s"),
        (loss > MAX_WER_LOSS, f"WER + {100 * loss:.1f} points"),
        (figures.revisions > 0, f"{figures.revisions} revisions"),
    )
    return tuple(reason for failed, reason in checks if failed)


def measure_wer_loss(load: LoadResult, smaller: Sequence[LoadResult]) -> float:
    """Return the word error rate that a load costs, as a share; 0 without a smaller load.

    Only streams that took part in a smaller load too are compared, each with its errors in the
    smallest: streams of other sentences differ by more than the bound.
    """
    easiest: dict[int, int] = {}
    for other in sorted(smaller, key=lambda other: other.streams):
        for stream, edits in enumerate(other.stream_edits):
            easiest.setdefault(stream, edits)
    common = [stream for stream in easiest if stream < load.streams]
    words = sum(load.stream_words[stream] for stream in common)
    lost = sum(load.stream_edits[stream] - easiest[stream] for stream in common)
    return lost / words if words else 0.0


def choose_next_load(held: Mapping[int, bool], limit: int) -> int | None:
    """Return the next number of streams to try, or None when the capacity is known.

    `held` has True for the numbers that were held. The search doubles from 1 to `limit` until a
    number is not held, then bisects; it tries at most 2·log2(limit) + 1 numbers.
    """
    best = find_capacity(held)
    failed = min((streams for streams, was_held in held.items() if not was_held), default=None)
    if failed is None:
        following = min(limit, max(1, 2 * best))
        return following if following > best else None
    return (best + failed) // 2 if failed - best > 1 else None


def find_capacity(held: Mapping[int, bool]) -> int:
    """Return the largest number of streams held below the first that was not; 0 for none."""
    failed = min((streams for streams, was_held in held.items() if not was_held), default=None)
    good = (
        streams
        for streams, was_held in held.items()
        if was_held and (failed is None or streams < failed)
    )
    return max(good, default=0)

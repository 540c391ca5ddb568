"""One load: N streams at once, maybe with files in flight, and what it cost the server."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import anyio
import anyio.to_thread

from whisperlive_hybrid.bench.client import StreamEnd, StreamResult, run_stream
from whisperlive_hybrid.bench.corpus import SHORTEST_PAUSE_S, Corpus
from whisperlive_hybrid.bench.http_client import FileTally, keep_in_flight
from whisperlive_hybrid.bench.scoring import Quality, StreamScore, quality, score_stream
from whisperlive_hybrid.bench.server import ProcessUsage, read_usage

SPREAD_S: Final = 8.0
"""Over which the streams of a load start, evenly: real speakers do not begin together."""


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What all loads of one benchmark have in common."""

    url: str
    seconds: float = 120.0
    """Length of each stream."""
    files: int = 0
    """Files kept in flight, each as long as a stream."""
    http_url: str = ""
    server_pid: int | None = None
    """Whose CPU time to count; None for a server out of sight."""
    detect_language: bool = False
    seed: int = 0
    shortest_pause: float = SHORTEST_PAUSE_S
    speed: float = 1.0
    """For tests of the harness; see `stream.run_stream`."""


@dataclass(frozen=True, slots=True)
class LoadResult:
    """The figures of one load."""

    streams: int
    quality: Quality
    stream_edits: tuple[int, ...]
    """Word errors of each stream, in order; stream i says the same in every load."""
    stream_words: tuple[int, ...]
    """Words that were said in each stream."""
    refused: int
    lost: int
    reasons: tuple[str, ...]
    """Of refused and lost streams, each once."""
    messages: int
    """`segments` messages of all streams."""
    lateness: float
    """Of the latest chunk, in s. Beyond 0.1 s the client itself was too slow, or held back."""
    cpu_s_per_audio_s: float | None
    """The server's, over live audio and completed files together; None if it is out of sight."""
    rss_mb: float | None
    """The server's resident memory at the end."""
    files_completed: int
    files_refused: int
    file_audio_s_per_s: float | None
    """Audio seconds of files read per second, all lanes together."""


async def run_load(plan: LoadPlan, corpus: Corpus, streams: int) -> LoadResult:
    """Put a load on the server and measure what comes of it."""
    before = _usage(plan)
    results, tally = await _drive(plan, corpus, streams)
    after = _usage(plan)
    scores = await anyio.to_thread.run_sync(_scores, results)
    per_lane = tally.audio_s_per_s
    live_s = sum(take.speech.duration for take in results if take.outcome is StreamEnd.FINISHED)
    cpu_s = after.cpu_s - before.cpu_s if before and after else None
    heard_s = live_s + tally.audio_s
    return LoadResult(
        streams=streams,
        quality=quality(scores, sum(take.revisions for take in results)),
        stream_edits=tuple(score.edits for score in scores),
        stream_words=tuple(score.reference_words for score in scores),
        refused=sum(take.outcome is StreamEnd.REFUSED for take in results),
        lost=sum(take.outcome is StreamEnd.LOST for take in results),
        reasons=tuple(sorted({take.reason for take in results if take.reason})),
        messages=sum(take.messages for take in results),
        lateness=max(take.lateness for take in results),
        cpu_s_per_audio_s=cpu_s / heard_s if cpu_s is not None and heard_s else None,
        rss_mb=after.rss_mb if after else None,
        files_completed=tally.completed,
        files_refused=tally.refused,
        file_audio_s_per_s=per_lane * plan.files if per_lane is not None else None,
    )


async def _drive(
    plan: LoadPlan, corpus: Corpus, streams: int
) -> tuple[list[StreamResult], FileTally]:
    """Run all streams to their end; files are in flight from the first to the last of them."""
    tally = FileTally()
    results: dict[int, StreamResult] = {}
    async with anyio.create_task_group() as background:
        if plan.files:
            file = corpus.compose_speech(streams, plan.seconds, plan.seed).samples
            for _ in range(plan.files):
                background.start_soon(keep_in_flight, plan.http_url, file, tally)
        async with anyio.create_task_group() as speakers:
            for stream in range(streams):
                speakers.start_soon(_speak_in_turn, plan, corpus, stream, streams, results)
        background.cancel_scope.cancel()
    return [results[stream] for stream in range(streams)], tally


async def _speak_in_turn(
    plan: LoadPlan, corpus: Corpus, stream: int, streams: int, results: dict[int, StreamResult]
) -> None:
    """Compose a stream, wait for its turn to start, and speak."""
    speech = corpus.compose_speech(stream, plan.seconds, plan.seed, plan.shortest_pause)
    await anyio.sleep(SPREAD_S * stream / streams / plan.speed)
    language = None if plan.detect_language else speech.language
    results[stream] = await run_stream(plan.url, speech, language, plan.speed)


def _scores(results: list[StreamResult]) -> list[StreamScore]:
    """Score every stream; one that was refused has every word wrong."""
    return [score_stream(take.speech.reference, take.events) for take in results]


def _usage(plan: LoadPlan) -> ProcessUsage | None:
    return read_usage(plan.server_pid) if plan.server_pid is not None else None


MAX_COMMIT_P95_S: Final = 3.0
MAX_FINAL_P95_S: Final = 1.5
MAX_SLOPE: Final = 0.01
"""Seconds that the commit delay may grow per second of stream."""
MAX_WER_LOSS: Final = 0.005
"""Word error rate that load may cost, as a share: half a point."""


def shortfalls(load: LoadResult, smaller: Sequence[LoadResult]) -> tuple[str, ...]:
    """Say what keeps a load from being held; nothing if it is held.

    `smaller` are loads of fewer streams on the same server. Words that never came have no delay:
    they count as errors.
    """
    figures = load.quality
    if not (figures.commit and figures.final) or figures.slope is None:
        return load.reasons or ("no words",)
    missing = load.refused + load.lost
    loss = wer_loss(load, smaller)
    checks = (
        (missing > 0, f"{missing} refused or lost"),
        (figures.commit.p95 > MAX_COMMIT_P95_S, f"p95 commit {figures.commit.p95:.2f} s"),
        (figures.final.p95 > MAX_FINAL_P95_S, f"p95 final {figures.final.p95:.2f} s"),
        (figures.slope > MAX_SLOPE, f"slope {figures.slope:.3f} s/s"),
        (loss > MAX_WER_LOSS, f"WER + {100 * loss:.1f} points"),
        (figures.revisions > 0, f"{figures.revisions} revisions"),
    )
    return tuple(reason for failed, reason in checks if failed)


def wer_loss(load: LoadResult, smaller: Sequence[LoadResult]) -> float:
    """The word error rate that a load costs, as a share; 0 where nothing can be compared.

    Like is compared with like: only streams that took part in a smaller load too, each with what
    it got in the smallest. Streams of other sentences differ by more than the bound.
    """
    easiest: dict[int, int] = {}
    for other in sorted(smaller, key=lambda other: other.streams):
        for stream, edits in enumerate(other.stream_edits):
            easiest.setdefault(stream, edits)
    common = [stream for stream in easiest if stream < load.streams]
    words = sum(load.stream_words[stream] for stream in common)
    lost = sum(load.stream_edits[stream] - easiest[stream] for stream in common)
    return lost / words if words else 0.0


def next_load(held: Mapping[int, bool], limit: int) -> int | None:
    """The next number of streams to try, or None when the capacity is known.

    `held` tells which numbers were held. Doubles from 1 to `limit` until one is not, then halves
    the gap; the numbers tried are at most 2·log2(limit) + 1.
    """
    best = capacity(held)
    failed = min((streams for streams, was_held in held.items() if not was_held), default=None)
    if failed is None:
        following = min(limit, max(1, 2 * best))
        return following if following > best else None
    return (best + failed) // 2 if failed - best > 1 else None


def capacity(held: Mapping[int, bool]) -> int:
    """The largest number of streams that was held below the first that was not; 0 for none."""
    failed = min((streams for streams, was_held in held.items() if not was_held), default=None)
    good = (
        streams
        for streams, was_held in held.items()
        if was_held and (failed is None or streams < failed)
    )
    return max(good, default=0)

"""One load: N streams at once, maybe with files in flight, and what it cost the server."""

from dataclasses import dataclass
from typing import Final

import anyio
import anyio.to_thread

from whisperlive_hybrid.bench.delays import StreamScore, score_stream
from whisperlive_hybrid.bench.files import FileTally, keep_in_flight
from whisperlive_hybrid.bench.machine import Usage, usage
from whisperlive_hybrid.bench.material import SHORTEST_PAUSE_S, Library
from whisperlive_hybrid.bench.metrics import Quality, quality
from whisperlive_hybrid.bench.stream import Outcome, Take, speak

SPREAD_S: Final = 8.0
"""Over which the streams of a load start, evenly: real speakers do not begin together."""


@dataclass(frozen=True, slots=True)
class Plan:
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
    """For tests of the harness; see `stream.speak`."""


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


async def run_load(plan: Plan, library: Library, streams: int) -> LoadResult:
    """Put a load on the server and measure what comes of it."""
    before = _usage(plan)
    takes, tally = await _drive(plan, library, streams)
    after = _usage(plan)
    scores = await anyio.to_thread.run_sync(_scores, takes)
    per_lane = tally.audio_s_per_s
    live_s = sum(take.material.duration for take in takes if take.outcome is Outcome.FINISHED)
    cpu_s = after.cpu_s - before.cpu_s if before and after else None
    heard_s = live_s + tally.audio_s
    return LoadResult(
        streams=streams,
        quality=quality(scores, sum(take.revisions for take in takes)),
        stream_edits=tuple(score.edits for score in scores),
        stream_words=tuple(score.reference_words for score in scores),
        refused=sum(take.outcome is Outcome.REFUSED for take in takes),
        lost=sum(take.outcome is Outcome.LOST for take in takes),
        reasons=tuple(sorted({take.reason for take in takes if take.reason})),
        messages=sum(take.messages for take in takes),
        lateness=max(take.lateness for take in takes),
        cpu_s_per_audio_s=cpu_s / heard_s if cpu_s is not None and heard_s else None,
        rss_mb=after.rss_mb if after else None,
        files_completed=tally.completed,
        files_refused=tally.refused,
        file_audio_s_per_s=per_lane * plan.files if per_lane is not None else None,
    )


async def _drive(plan: Plan, library: Library, streams: int) -> tuple[list[Take], FileTally]:
    """Run all streams to their end; files are in flight from the first to the last of them."""
    tally = FileTally()
    takes: dict[int, Take] = {}
    async with anyio.create_task_group() as background:
        if plan.files:
            file = library.material(streams, plan.seconds, plan.seed).samples
            for _ in range(plan.files):
                background.start_soon(keep_in_flight, plan.http_url, file, tally)
        async with anyio.create_task_group() as speakers:
            for stream in range(streams):
                speakers.start_soon(_speak_in_turn, plan, library, stream, streams, takes)
        background.cancel_scope.cancel()
    return [takes[stream] for stream in range(streams)], tally


async def _speak_in_turn(
    plan: Plan, library: Library, stream: int, streams: int, takes: dict[int, Take]
) -> None:
    """Compose a stream, wait for its turn to start, and speak."""
    material = library.material(stream, plan.seconds, plan.seed, plan.shortest_pause)
    await anyio.sleep(SPREAD_S * stream / streams / plan.speed)
    language = None if plan.detect_language else material.language
    takes[stream] = await speak(plan.url, material, language, plan.speed)


def _scores(takes: list[Take]) -> list[StreamScore]:
    """Score every stream; one that was refused has every word wrong."""
    return [score_stream(take.material.reference, take.events) for take in takes]


def _usage(plan: Plan) -> Usage | None:
    return usage(plan.server_pid) if plan.server_pid is not None else None

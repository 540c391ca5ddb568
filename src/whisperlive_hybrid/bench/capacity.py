"""When a load counts as held, and which number of streams to try next."""

from collections.abc import Mapping, Sequence
from typing import Final

from whisperlive_hybrid.bench.load import LoadResult

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

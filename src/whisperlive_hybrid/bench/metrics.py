"""The figures of one load, pooled over its streams."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from whisperlive_hybrid.bench.delays import StreamScore, WordDelay


@dataclass(frozen=True, slots=True)
class Spread:
    """A distribution of delays in s."""

    count: int
    mean: float
    p50: float
    p90: float
    p95: float
    p99: float


def spread(values: Sequence[float]) -> Spread | None:
    """Describe a distribution, percentiles interpolated; None where there is nothing."""
    if not values:
        return None
    p50, p90, p95, p99 = (float(cut) for cut in np.percentile(values, (50, 90, 95, 99)))
    return Spread(len(values), float(np.mean(values)), p50, p90, p95, p99)


@dataclass(frozen=True, slots=True)
class Quality:
    """How right and how late the text of all streams was."""

    wer: float | None
    """Word error rate of the completed text, as a share; None where nothing was said."""
    match_rate: float | None
    """Share of the words that were recognised exactly, over which the delays are taken."""
    first_display: Spread | None
    stable_display: Spread | None
    promise: Spread | None
    """Until a word stood in the text that the server calls stable; None where it calls none so."""
    commit: Spread | None
    final: Spread | None
    """Commit delay of the words that end speech: the time to final."""
    slope: float | None
    """Growth of the commit delay in s per s of stream, by least squares."""
    revisions: int
    """Completed segments that changed or vanished; must be 0."""
    invented_words: int
    """Words completed in silences of 2 s and more."""


def quality(scores: Sequence[StreamScore], revisions: int) -> Quality:
    """Pool the words of all streams."""
    delays = [delay for score in scores for delay in score.delays]
    words = sum(score.reference_words for score in scores)
    return Quality(
        wer=sum(score.edits for score in scores) / words if words else None,
        match_rate=len(delays) / words if words else None,
        first_display=spread([delay.first_display for delay in delays]),
        stable_display=spread([delay.stable_display for delay in delays]),
        promise=spread([delay.promise for delay in delays if delay.promise is not None]),
        commit=spread([delay.commit for delay in delays]),
        final=spread([delay.commit for delay in delays if delay.ends_speech]),
        slope=_slope(delays),
        revisions=revisions,
        invented_words=sum(score.invented_words for score in scores),
    )


def _slope(delays: Iterable[WordDelay]) -> float | None:
    """Fit commit delay over the time of the word; None where two times are not to be had."""
    points = [(delay.end, delay.commit) for delay in delays]
    if len({end for end, _ in points}) < 2:
        return None
    ends, commits = np.array(points).T
    ends = ends - ends.mean()
    return float(ends @ commits / (ends @ ends))

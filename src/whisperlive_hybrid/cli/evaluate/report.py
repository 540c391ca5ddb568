"""Results of an evaluation: figures by language and kind, a table, and JSON."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from whisperlive_hybrid.bench.recordings import UNDETERMINED, LabelledRecording
from whisperlive_hybrid.cli.evaluate.readers import Output
from whisperlive_hybrid.cli.evaluate.scoring import (
    Rate,
    Score,
    find_unshared_losses,
    measure_cue_ends,
    pool_rate,
    score,
)

CLOSE_S: Final = 0.5
"""Largest distance, in s, between the ends of a cue and of its last word that viewers overlook."""


ALL: Final = "all"
"""The kind or language in the lines of totals."""


@dataclass(frozen=True, slots=True)
class EvaluatedRecording:
    """A recording with the output and the score of each reader."""

    recording: LabelledRecording
    outputs: dict[str, Output]
    scores: dict[str, Score]


def score_outputs(recording: LabelledRecording, outputs: dict[str, Output]) -> EvaluatedRecording:
    """Score the outputs of a recording by the names of the readers."""
    scores = {
        name: score(recording.reference, output.text, recording.language)
        for name, output in outputs.items()
    }
    return EvaluatedRecording(recording, outputs, scores)


@dataclass(frozen=True, slots=True)
class CueEnds:
    """Distances between cue ends and the ends of their last words, in s."""

    count: int
    median: float
    """Median of the absolute errors."""
    p90: float
    """90th percentile of the absolute errors."""
    close_share: float
    """Share within `CLOSE_S`."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one reader over the recordings of one group."""

    language: str
    kind: str
    reader: str
    recordings: int
    words: int
    """In the references."""
    wer: Rate | None
    """None without speech."""
    difference: Rate | None
    """Word error rate minus that of the first peer, paired; None without a peer."""
    lost_runs: int
    lost_words: int
    lost_only_here: int | None
    """Lost runs that the first peer did not lose; None without a peer."""
    invented_words: int
    """Words of recordings without speech."""
    invented_in: int
    """Recordings without speech for which the text has a word."""
    silent: int
    """Recordings without speech."""
    cue_ends: CueEnds | None
    cpu_per_audio_s: float


def compute_figures(done: Sequence[EvaluatedRecording], peer: str | None) -> list[Figures]:
    """Return the figures by language and kind, by language, and of all, for every reader.

    `peer` names the reader that the others are compared with. A language of one kind has one line.
    """
    groups: dict[tuple[str, str], list[EvaluatedRecording]] = {}
    for evaluated in done:
        language = evaluated.recording.language or UNDETERMINED
        for key in ((language, evaluated.recording.kind), (language, ALL), (ALL, ALL)):
            groups.setdefault(key, []).append(evaluated)

    def totals_last(key: tuple[str, str]) -> tuple[bool, str, bool, str]:
        language, kind = key
        return language == ALL, language, kind == ALL, kind

    return [
        _compute_group(language, kind, reader, groups[language, kind], peer)
        for language, kind in sorted(groups, key=totals_last)
        if kind == ALL or len(groups[language, kind]) < len(groups[language, ALL])
        for reader in done[0].outputs
    ]


def _compute_group(
    language: str, kind: str, reader: str, members: Sequence[EvaluatedRecording], peer: str | None
) -> Figures:
    outputs = [member.outputs[reader] for member in members]
    with_speech = [member for member in members if member.recording.reference]
    invented = [m.scores[reader].insertions for m in members if not m.recording.reference]
    scores = [member.scores[reader] for member in with_speech]
    words = [score.words for score in scores]
    runs = [run for score in scores for run in score.lost]
    compared = peer if peer != reader else None
    pairs = [(m.scores[reader], m.scores[compared]) for m in with_speech if compared]
    return Figures(
        language=language,
        kind=kind,
        reader=reader,
        recordings=len(members),
        words=sum(words),
        wer=pool_rate([score.errors for score in scores], words),
        difference=pool_rate([a.errors - b.errors for a, b in pairs], words) if compared else None,
        lost_runs=len(runs),
        lost_words=sum(run.stop - run.start for run in runs),
        lost_only_here=sum(len(find_unshared_losses(a, b)) for a, b in pairs) if compared else None,
        invented_words=sum(invented),
        invented_in=sum(1 for count in invented if count),
        silent=len(invented),
        cue_ends=_measure_cue_ends(reader, members),
        cpu_per_audio_s=sum(output.cpu_s for output in outputs)
        / max(1e-9, sum(output.audio_s for output in outputs)),
    )


def _measure_cue_ends(reader: str, members: Sequence[EvaluatedRecording]) -> CueEnds | None:
    errors = [
        abs(error)
        for member in members
        for error in measure_cue_ends(member.recording.turns, member.outputs[reader].cues)
    ]
    if not errors:
        return None
    median, p90 = (float(bound) for bound in np.percentile(errors, (50, 90)))
    return CueEnds(len(errors), median, p90, sum(e <= CLOSE_S for e in errors) / len(errors))


def format_table(rows: Sequence[Figures]) -> list[str]:
    """Return a head and a line per group and reader, without columns that are always empty."""
    # Plain text and not a table of rich, which truncates figures in a pipe or a small terminal.
    cells = [_format_cells(row) for row in rows]
    names = [name for name in cells[0] if any(line[name] for line in cells)]
    table = [names, *([line[name] for name in names] for line in cells)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if name in {"speech", "reader"} else cell.rjust(width)
            for name, cell, width in zip(names, line, widths, strict=True)
        ).rstrip()
        for line in table
    ]


def _format_cells(row: Figures) -> dict[str, str]:
    wer, more, ends = row.wer, row.difference, row.cue_ends
    return {
        "speech": row.language if row.kind == ALL else f"{row.language} {row.kind}",
        "reader": row.reader,
        "n": str(row.recordings),
        "words": str(row.words or ""),
        "WER %": f"{100 * wer.value:.2f}" if wer else "",
        "95 %": f"{100 * wer.low:.1f}-{100 * wer.high:.1f}" if wer else "",
        "difference": f"{100 * more.value:+.2f} ({100 * more.low:+.1f} {100 * more.high:+.1f})"
        if more
        else "",
        "lost": f"{row.lost_runs} ({row.lost_words} words)" if row.lost_runs else "",
        "only here": str(row.lost_only_here)
        if row.words and row.lost_only_here is not None
        else "",
        "invented": f"{row.invented_words} in {row.invented_in}/{row.silent}" if row.silent else "",
        "cue ends": f"{ends.median:.2f} {ends.p90:.2f} s {ends.close_share:.0%}" if ends else "",
        "CPU s/s": f"{row.cpu_per_audio_s:.3f}",
    }


def format_lost_runs(done: Sequence[EvaluatedRecording], peer: str) -> Iterator[str]:
    """Yield a line for each run that a reader lost and `peer` did not."""
    for evaluated in done:
        for reader, ours in evaluated.scores.items():
            if reader == peer:
                continue
            for run in find_unshared_losses(ours, evaluated.scores[peer]):
                yield f"lost by {reader}, not by {peer}: {evaluated.recording.id}: {run.text}"


def as_json(
    about: dict[str, Any], done: Sequence[EvaluatedRecording], rows: Sequence[Figures]
) -> str:
    """Serialise facts `about` the run, the figures, and each recording with texts and scores."""
    recordings = [
        {
            "id": evaluated.recording.id,
            "language": evaluated.recording.language,
            "kind": evaluated.recording.kind,
            "reference": evaluated.recording.reference,
            "readers": {
                name: {"text": output.text, **asdict(output), **asdict(evaluated.scores[name])}
                for name, output in evaluated.outputs.items()
            },
        }
        for evaluated in done
    ]
    everything = {**about, "figures": [asdict(row) for row in rows], "recordings": recordings}
    return json.dumps(everything, indent=1, ensure_ascii=False) + "\n"

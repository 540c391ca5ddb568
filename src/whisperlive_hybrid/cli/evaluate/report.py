"""What an evaluation has shown: figures by language and kind, a table, and JSON."""

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
    cue_end_errors,
    lost_only_by,
    rate,
    score,
)

CLOSE_S: Final = 0.5
"""A cue that ends so near to the end of its last word ends with it, as people see it."""


ALL: Final = "all"
"""Stands for every kind or language in the lines of totals."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A recording, what each reader made of it, and how right that is."""

    recording: LabelledRecording
    outputs: dict[str, Output]
    scores: dict[str, Score]


def evaluated(recording: LabelledRecording, outputs: dict[str, Output]) -> Evaluated:
    """Score what the readers, by their names, made of a recording."""
    scores = {
        name: score(recording.reference, output.text, recording.language)
        for name, output in outputs.items()
    }
    return Evaluated(recording, outputs, scores)


@dataclass(frozen=True, slots=True)
class CueEnds:
    """How far cue ends are from the ends of their last words, in s."""

    count: int
    median: float
    """Of the absolute errors, as is the next."""
    p90: float
    close_share: float
    """Share within `CLOSE_S`."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One reader over the recordings of one group."""

    language: str
    kind: str
    reader: str
    recordings: int
    words: int
    """In the references."""
    wer: Rate | None
    """None where nothing is said."""
    difference: Rate | None
    """Of the word error rate from that of the first peer, paired; None without one."""
    lost_runs: int
    lost_words: int
    lost_only_here: int | None
    """Lost runs that the first peer has not; None without one."""
    invented_words: int
    """In recordings without speech."""
    invented_in: int
    """Recordings without speech that got any word."""
    silent: int
    """Recordings without speech."""
    cue_ends: CueEnds | None
    cpu_per_audio_s: float


def figures(done: Sequence[Evaluated], peer: str | None) -> list[Figures]:
    """Return the figures by language and kind, by language, and of all, for every reader.

    `peer` names the reader that the others are compared with. A language of one kind has one line.
    """
    groups: dict[tuple[str, str], list[Evaluated]] = {}
    for each in done:
        language = each.recording.language or UNDETERMINED
        for key in ((language, each.recording.kind), (language, ALL), (ALL, ALL)):
            groups.setdefault(key, []).append(each)

    def totals_last(key: tuple[str, str]) -> tuple[bool, str, bool, str]:
        language, kind = key
        return language == ALL, language, kind == ALL, kind

    return [
        _figures(language, kind, reader, groups[language, kind], peer)
        for language, kind in sorted(groups, key=totals_last)
        if kind == ALL or len(groups[language, kind]) < len(groups[language, ALL])
        for reader in done[0].outputs
    ]


def _figures(
    language: str, kind: str, reader: str, members: Sequence[Evaluated], peer: str | None
) -> Figures:
    outputs = [each.outputs[reader] for each in members]
    spoken = [each for each in members if each.recording.reference]
    silent = [each.scores[reader].insertions for each in members if not each.recording.reference]
    scores = [each.scores[reader] for each in spoken]
    words = [each.words for each in scores]
    runs = [run for each in scores for run in each.lost]
    compared = peer if peer != reader else None
    more = [
        each.scores[reader].errors - each.scores[compared].errors for each in spoken if compared
    ]
    return Figures(
        language=language,
        kind=kind,
        reader=reader,
        recordings=len(members),
        words=sum(words),
        wer=rate([each.errors for each in scores], words),
        difference=rate(more, words) if compared else None,
        lost_runs=len(runs),
        lost_words=sum(run.stop - run.start for run in runs),
        lost_only_here=sum(
            len(lost_only_by(each.scores[reader], each.scores[compared])) for each in spoken
        )
        if compared
        else None,
        invented_words=sum(silent),
        invented_in=sum(1 for each in silent if each),
        silent=len(silent),
        cue_ends=_cue_ends(reader, members),
        cpu_per_audio_s=sum(each.cpu_s for each in outputs)
        / max(1e-9, sum(each.audio_s for each in outputs)),
    )


def _cue_ends(reader: str, members: Sequence[Evaluated]) -> CueEnds | None:
    errors = [
        abs(error)
        for each in members
        for error in cue_end_errors(each.recording.turns, each.outputs[reader].cues)
    ]
    if not errors:
        return None
    median, p90 = (float(bound) for bound in np.percentile(errors, (50, 90)))
    return CueEnds(len(errors), median, p90, sum(e <= CLOSE_S for e in errors) / len(errors))


def table_lines(rows: Sequence[Figures]) -> list[str]:
    """A head, and a line per group and reader; columns that are empty in every line are left out.

    Plain text of its own width: in a pipe or a small terminal, figures must not be cut off.
    """
    cells = [_cells(row) for row in rows]
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


def _cells(row: Figures) -> dict[str, str]:
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


def lost_lines(done: Sequence[Evaluated], peer: str) -> Iterator[str]:
    """Say which runs each reader lost that `peer` has not."""
    for each in done:
        for reader, ours in each.scores.items():
            for run in lost_only_by(ours, each.scores[peer]) if reader != peer else ():
                yield f"lost by {reader}, not by {peer}: {each.recording.id}: {run.text}"


def as_json(about: dict[str, Any], done: Sequence[Evaluated], rows: Sequence[Figures]) -> str:
    """Everything: `about` the run, the figures, and each recording with its texts and scores."""
    recordings = [
        {
            "id": each.recording.id,
            "language": each.recording.language,
            "kind": each.recording.kind,
            "reference": each.recording.reference,
            "readers": {
                name: {"text": output.text, **asdict(output), **asdict(each.scores[name])}
                for name, output in each.outputs.items()
            },
        }
        for each in done
    ]
    everything = {**about, "figures": [asdict(row) for row in rows], "recordings": recordings}
    return json.dumps(everything, indent=1, ensure_ascii=False) + "\n"

import json
from pathlib import Path

import pytest

from whisperlive_hybrid.bench.recordings import LabelledRecording, TimedText
from whisperlive_hybrid.cli.evaluate.readers import Output
from whisperlive_hybrid.cli.evaluate.report import (
    EvaluatedRecording,
    Figures,
    as_json,
    compute_figures,
    format_lost_runs,
    format_table,
    score_outputs,
)

SAID = "we all went down to the old river that day"


def read(language: str | None, kind: str, said: str, **texts: str) -> EvaluatedRecording:
    """A recording of 10 s that each reader of `texts` read with 2 s of CPU time."""
    turns = (TimedText(0, 9.0, said),) if said else ()
    name = f"{language}-{kind}"
    recording = LabelledRecording(name, Path("x.wav"), language, kind, said, turns)
    outputs = {
        reader: Output((TimedText(0, 9.4, f" {text}"),) if text else (), 10.0, 2.0)
        for reader, text in texts.items()
    }
    return score_outputs(recording, outputs)


@pytest.fixture
def done() -> list[EvaluatedRecording]:
    """Two kinds of English, one of German, and music."""
    return [
        read("en", "read", SAID, ours=SAID, peer=f"{SAID} again"),
        read("en", "telephone", SAID, ours="we all that day", peer=SAID),
        read("de", "read", SAID, ours="", peer="the old river that day"),
        read(None, "music", "", ours="", peer="Thank you"),
    ]


def line(done: list[EvaluatedRecording], language: str, kind: str, reader: str) -> Figures:
    """The figures of one group and reader."""
    (found,) = (
        row
        for row in compute_figures(done, "peer")
        if (row.language, row.kind, row.reader) == (language, kind, reader)
    )
    return found


def test_figures_are_by_kind_by_language_and_of_all(done: list[EvaluatedRecording]) -> None:
    """A language of one kind needs no line of its own kind."""
    rows = compute_figures(done, "peer")
    assert [(row.language, row.kind) for row in rows if row.reader == "ours"] == [
        ("de", "all"),
        ("en", "read"),
        ("en", "telephone"),
        ("en", "all"),
        ("und", "all"),
        ("all", "all"),
    ]


def test_errors_are_pooled_over_what_is_said(done: list[EvaluatedRecording]) -> None:
    """Words invented in music are no word errors; the difference is against the peer."""
    ours, peer = line(done, "all", "all", "ours"), line(done, "all", "all", "peer")
    assert (ours.recordings, ours.words) == (4, 30)
    assert ours.wer is not None
    assert ours.wer.value == pytest.approx(16 / 30)
    assert ours.difference is not None
    assert ours.difference.value == pytest.approx((16 - 6) / 30)
    assert peer.difference is None
    assert line(done, "und", "all", "ours").wer is None


def test_lost_runs_are_counted_and_those_of_ours_alone_named(
    done: list[EvaluatedRecording],
) -> None:
    """What the peer lost as well is no fault of ours alone."""
    ours = line(done, "all", "all", "ours")
    assert (ours.lost_runs, ours.lost_words, ours.lost_only_here) == (2, 16, 1)
    assert list(format_lost_runs(done, "peer")) == [
        "lost by ours, not by peer: en-telephone: went down to the old river"
    ]


def test_invented_words_are_counted_where_nobody_speaks(done: list[EvaluatedRecording]) -> None:
    """With the recordings that got any."""
    peer, ours = line(done, "all", "all", "peer"), line(done, "all", "all", "ours")
    assert (peer.invented_words, peer.invented_in, peer.silent) == (2, 1, 1)
    assert (ours.invented_words, ours.invented_in, ours.silent) == (0, 0, 1)


def test_cue_ends_and_cpu_time(done: list[EvaluatedRecording]) -> None:
    """Cues end 0.4 s after their words; 2 s of CPU for 10 s of audio."""
    ours = line(done, "all", "all", "ours")
    assert ours.cue_ends is not None
    assert ours.cue_ends.count == 2
    assert ours.cue_ends.median == pytest.approx(0.4)
    assert ours.cue_ends.close_share == 1.0
    assert ours.cpu_per_audio_s == pytest.approx(0.2)


def test_the_table_shows_what_there_is(done: list[EvaluatedRecording]) -> None:
    """Columns stand under their heads; those that are empty in every line are left out."""
    head, *lines = format_table(compute_figures(done, "peer"))
    assert len(lines) == 12
    assert head.split("  ")[0] == "speech"
    total = next(row for row in lines if row.startswith("all") and "ours" in row)
    assert total[head.index("WER %") :].startswith("53.33")
    assert "2 (16 words)" in total
    plain, *_ = format_table(compute_figures(done[:1], None))
    for column in ("difference", "only here", "invented", "lost"):
        assert column in head
        assert column not in plain


def test_the_json_holds_every_text(done: list[EvaluatedRecording]) -> None:
    """Together with scores, times and how the run was made."""
    made = json.loads(as_json({"model": "m"}, done, compute_figures(done, "peer")))
    assert made["model"] == "m"
    assert len(made["figures"]) == 12
    telephone = made["recordings"][1]
    assert (telephone["id"], telephone["reference"]) == ("en-telephone", SAID)
    ours = telephone["readers"]["ours"]
    assert ours["text"] == "we all that day"
    assert ours["lost"] == [{"start": 2, "stop": 8, "text": "went down to the old river"}]
    assert ours["cues"] == [{"start": 0, "end": 9.4, "text": " we all that day"}]
    assert ours["cpu_s"] == 2.0

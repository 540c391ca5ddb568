"""Where texts go, and how they are counted."""

from pathlib import Path

import pytest

from whisperlive_hybrid.cli.batch.formats import OutputFormat, Texts
from whisperlive_hybrid.cli.batch.inputs import BatchItem, plan_items
from whisperlive_hybrid.cli.batch.outputs import InOrder, OutcomeWriter, Printer, Tally
from whisperlive_hybrid.cli.batch.report import Outcome
from whisperlive_hybrid.errors import BadAudio


@pytest.fixture
def items(tmp_path: Path) -> list[BatchItem]:
    """Three recordings."""
    for name in "abc":
        (tmp_path / f"{name}.mp3").touch()
    return plan_items([str(tmp_path)], takes_urls=False)


def good(item: BatchItem) -> Outcome:
    """Its text is its name."""
    return Outcome(item, None, Texts({OutputFormat.TXT: f"{item.name}\n"}, 2.0))


def test_texts_are_printed_in_the_order_of_the_recordings(
    items: list[BatchItem], capsys: pytest.CaptureFixture[str]
) -> None:
    """In the order of the items; one that failed does not delay the others."""
    tally, failed = Tally(), list[BatchItem]()
    writer = OutcomeWriter(
        Printer(has_headers=True), tally, lambda _: None, lambda item, _: failed.append(item)
    )
    in_order = InOrder(items, writer.write)
    a, b, c = items
    assert in_order.add(good(c))
    assert capsys.readouterr().out == ""
    in_order.add(good(a))
    in_order.add(Outcome(b, None, BadAudio("noise")))
    printed = capsys.readouterr().out
    assert printed == f"==> {a.source.label} <==\na\n\n==> {c.source.label} <==\nc\n"
    assert (failed, tally.done, tally.failed) == ([b], 2, 1)


def test_one_recording_is_printed_bare(
    items: list[BatchItem], capsys: pytest.CaptureFixture[str]
) -> None:
    """So that it can be piped on."""
    Printer(has_headers=False).put(items[0], None, {OutputFormat.SRT: "1\n"})
    assert capsys.readouterr().out == "1\n"


def test_a_text_that_finds_no_place_is_a_failure(items: list[BatchItem]) -> None:
    """It is reported and counted, and the result is False."""

    class Full:
        def put(self, *_: object) -> None:
            raise BadAudio("cannot be written")

    tally, failed = Tally(), list[BatchItem]()
    writer = OutcomeWriter(Full(), tally, lambda _: None, lambda item, _: failed.append(item))
    assert not writer.write(good(items[0]))
    assert (failed, tally.done, tally.audio_s) == ([items[0]], 0, 0)


def test_the_summary_accounts_for_every_recording() -> None:
    """What is neither done nor failed was not begun, or not ended."""
    tally = Tally(before=3, done=4, failed=1, audio_s=60)
    assert tally.summary(10, 30) == (
        "4 done, 3 skipped (done before), 1 failed, 2 not done; "
        "60.0 s of audio in 30.0 s (2.0 times real time)."
    )
    assert Tally().summary(0, 0.0) == "0 done; 0.0 s of audio in 0.0 s."

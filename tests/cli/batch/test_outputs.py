"""Where transcripts lie, and what is remembered of them."""

import os
from pathlib import Path

import pytest

from whisperlive_hybrid.cli.batch.formats import OutputFormat
from whisperlive_hybrid.cli.batch.inputs import BatchItem, plan_items
from whisperlive_hybrid.cli.batch.outputs import MANIFEST, OutputDirectory
from whisperlive_hybrid.errors import BadRequest

TXT, SRT = OutputFormat.TXT, OutputFormat.SRT


@pytest.fixture
def item(tmp_path: Path) -> BatchItem:
    """A recording below a directory."""
    (tmp_path / "in" / "day").mkdir(parents=True)
    (tmp_path / "in" / "day" / "a.mp3").write_bytes(b"sound")
    [found] = plan_items([str(tmp_path / "in")], takes_urls=False)
    return found


def directory(tmp_path: Path, *formats: OutputFormat, options: str = "x") -> OutputDirectory:
    """The same directory, as another command would see it."""
    made = OutputDirectory(tmp_path / "new" / "out", formats or (TXT,), options)
    made.prepare()
    return made


def test_what_is_done_in_the_same_way_is_not_done_again(tmp_path: Path, item: BatchItem) -> None:
    """Until an output is missing, the recording changes, or other options are asked for."""
    out = directory(tmp_path, TXT, SRT)
    assert out.find_pending([item]) == [item]
    out.put(item, item.source.read_state(), {TXT: "text\n", SRT: "1\n"})
    assert (out.path / "day" / "a.txt").read_text() == "text\n"
    assert directory(tmp_path, TXT, SRT).find_pending([item]) == []
    assert directory(tmp_path, TXT).find_pending([item]) == []
    assert directory(tmp_path, TXT, options="y").find_pending([item]) == [item]
    assert directory(tmp_path, TXT, OutputFormat.VTT).find_pending([item]) == [item]
    (out.path / "day" / "a.srt").unlink()
    assert out.find_pending([item]) == [item]
    assert directory(tmp_path, TXT).find_pending([item]) == []
    recording = tmp_path / "in" / "day" / "a.mp3"
    times = recording.stat()
    recording.write_bytes(b"noise")
    os.utime(recording, ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    assert directory(tmp_path, TXT).find_pending([item]) == [item]


def test_a_recording_that_has_gone_is_not_done(tmp_path: Path, item: BatchItem) -> None:
    """Whoever tries to read it says so."""
    out = directory(tmp_path)
    out.put(item, item.source.read_state(), {TXT: "text\n"})
    (tmp_path / "in" / "day" / "a.mp3").unlink()
    assert out.find_pending([item]) == [item]


def test_a_recording_that_changed_while_it_was_read_is_read_again(
    tmp_path: Path, item: BatchItem
) -> None:
    """Its state before counts: the text may be that of half a file."""
    out = directory(tmp_path)
    before = item.source.read_state()
    (tmp_path / "in" / "day" / "a.mp3").write_bytes(b"sound and more")
    out.put(item, before, {TXT: "text\n"})
    assert out.find_pending([item]) == [item]


def test_standard_input_is_never_done(tmp_path: Path) -> None:
    """Its text is written, but what is piped in next may be anything."""
    [item] = plan_items(["-"], takes_urls=False)
    out = directory(tmp_path)
    out.put(item, None, {TXT: "text\n"})
    assert (out.path / "stdin.txt").read_text() == "text\n"
    assert out.find_pending([item]) == [item]
    assert not out.save_job(item, None, "job_1")


def test_jobs_are_found_by_the_next_command(tmp_path: Path, item: BatchItem) -> None:
    """For the same recording and options only, until they are forgotten."""
    state = item.source.read_state()
    assert directory(tmp_path).save_job(item, state, "job_1")
    assert directory(tmp_path).find_job(item, state) == "job_1"
    assert directory(tmp_path, options="y").find_job(item, state) is None
    assert directory(tmp_path).find_job(item, None) is None
    directory(tmp_path).remove_job(item)
    assert directory(tmp_path).find_job(item, state) is None


def test_a_spoilt_manifest_means_that_nothing_is_known(tmp_path: Path, item: BatchItem) -> None:
    """Then work is done again; nothing is believed, and nothing stops."""
    out = directory(tmp_path)
    out.put(item, item.source.read_state(), {TXT: "text\n"})
    (out.path / MANIFEST).write_text('{"version": 1, "outp')
    assert out.find_pending([item]) == [item]
    out.put(item, item.source.read_state(), {TXT: "text\n"})
    assert out.find_pending([item]) == []


def test_two_commands_share_a_directory(tmp_path: Path, item: BatchItem) -> None:
    """Neither forgets what the other has done, whenever it looked."""
    other_file = tmp_path / "b.mp3"
    other_file.touch()
    [other] = plan_items([str(other_file)], takes_urls=False)
    one, two = directory(tmp_path), directory(tmp_path)
    one.put(item, item.source.read_state(), {TXT: "a\n"})
    two.put(other, other.source.read_state(), {TXT: "b\n"})
    assert directory(tmp_path).find_pending([item, other]) == []


def test_a_text_that_cannot_be_written_is_told_by_name(tmp_path: Path, item: BatchItem) -> None:
    """A directory lies in its place; other recordings are not concerned."""
    out = directory(tmp_path)
    (out.path / "day" / "a.txt").mkdir(parents=True)
    with pytest.raises(BadRequest, match=r"a\.txt cannot be written: Is a directory"):
        out.put(item, item.source.read_state(), {TXT: "text\n"})
    assert out.find_pending([item]) == [item]


def test_a_directory_that_cannot_be_made_is_told_before_the_work(tmp_path: Path) -> None:
    """A file is in the way."""
    (tmp_path / "new").write_text("")
    with pytest.raises(BadRequest, match="cannot be written: Not a directory"):
        directory(tmp_path)

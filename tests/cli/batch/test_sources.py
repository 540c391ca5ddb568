"""Files, pipes, standard input and URLs as recordings."""

import io
import os
import threading
from pathlib import Path

import pytest

from whisperlive_hybrid.cli.batch.inputs import FileSource, StandardInput, UrlSource, plan_items
from whisperlive_hybrid.errors import BadAudio


def source(path: Path) -> FileSource:
    """A file that was named."""
    [item] = plan_items([str(path)], takes_urls=False)
    assert isinstance(item.source, FileSource)
    return item.source


def test_the_state_of_a_file_is_its_size_and_time(tmp_path: Path) -> None:
    """To the nanosecond: a recording may change within a second."""
    file = tmp_path / "a.mp3"
    file.write_bytes(b"sound")
    before = source(file).read_state()
    assert before == source(file).read_state()
    os.utime(file, ns=(1, file.stat().st_mtime_ns + 1))
    assert source(file).read_state() != before


def test_a_file_that_cannot_be_read_is_bad_audio(tmp_path: Path) -> None:
    """Gone since it was found, or a directory by now."""
    file = tmp_path / "a.mp3"
    file.touch()
    found = source(file)
    file.unlink()
    with pytest.raises(BadAudio, match="No such file"):
        found.read_state()
    with pytest.raises(BadAudio, match="No such file"):
        found.open()


def test_a_pipe_with_a_name_is_read_once_and_kept(tmp_path: Path) -> None:
    """The file of <(…) in a shell: it is copied to be seekable, and has no state."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=[b"sound"])
    writer.start()
    found = source(pipe)
    assert found.read_state() is None
    with found.open() as media:
        assert media.read() == b"sound"
        media.seek(1)
        assert media.read() == b"ound"
    writer.join()


def test_standard_input_can_be_jumped_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some containers have their index at the end."""
    stdin = io.TextIOWrapper(io.BytesIO(b"sound"))
    monkeypatch.setattr("sys.stdin", stdin)
    with StandardInput().open() as media:
        assert (media.read(), media.seek(0), media.read()) == (b"sound", 0, b"sound")


def test_the_state_of_a_url_is_the_url() -> None:
    """Changes of its content are not noticed."""
    one, two = UrlSource("https://x.example/a.mp3?1"), UrlSource("https://x.example/a.mp3?2")
    assert one.read_state() == UrlSource(one.url).read_state()
    assert one.read_state() != two.read_state()
    assert one.names == two.names == ("a", "a.mp3", "x.example/a.mp3")


@pytest.mark.parametrize("part", ["..", ".hidden", "%2e%2e", "a%00b", "%E2%80%AEgpj.mp3", "\\x"])
def test_no_url_names_a_file_elsewhere(part: str) -> None:
    """Nor a hidden one, nor one with invisible characters."""
    for name in UrlSource(f"https://x.example/{part}").names:
        last = name.rpartition("/")[2]
        assert last
        assert not last.startswith(".")
        assert last.isprintable()
        assert "\\" not in last

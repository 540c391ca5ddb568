"""From what was typed to recordings and names."""

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperlive_hybrid.cli.batch.inputs import (
    BatchItem,
    FileSource,
    Source,
    check_outputs,
    choose_names,
    plan_items,
)
from whisperlive_hybrid.errors import BadRequest


@pytest.fixture
def talks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with recordings, things that are none, and hidden ones."""
    for name in (
        "talks/b.mp3",
        "talks/a.WAV",
        "talks/notes.txt",
        "talks/b.srt",
        "talks/.hidden.mp3",
        "talks/.cache/c.mp3",
        "talks/day/c.m4a",
        "talks/day/d.m4a",
        "odd.dat",
    ):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(inputs: Sequence[str], *, takes_urls: bool = False) -> list[str]:
    """What the outputs of these inputs would be called."""
    return [item.name for item in plan_items(inputs, takes_urls=takes_urls)]


@pytest.mark.usefixtures("talks")
def test_a_directory_gives_its_media_in_a_stable_order() -> None:
    """Below directories too, and the structure is kept; hidden files and texts are left out."""
    assert names(["talks"]) == ["a", "b", "day/c", "day/d"]
    assert names(["talks/"]) == names(["./talks"]) == names([str(Path("talks").absolute())])


@pytest.mark.usefixtures("talks")
def test_a_named_file_is_taken_whatever_it_is_called() -> None:
    """Its content decides later; a suffix decides only what is tried unasked."""
    assert names(["odd.dat", "talks/.hidden.mp3"]) == ["odd", ".hidden"]


@pytest.mark.usefixtures("talks")
def test_patterns_give_media_unless_they_spell_a_suffix() -> None:
    """As a shell would, but for texts beside the recordings; ** goes down."""
    assert names(["talks/*"]) == ["a", "b", "c", "d"]  # `day` is a directory: c and d are below it
    assert names(["*.dat"]) == ["odd"]
    assert names(["**/*.m4a"]) == ["c", "d"]
    assert names(["talks/*.txt"]) == ["notes"]


def test_a_file_comes_before_a_pattern(tmp_path: Path) -> None:
    """Brackets are common in the names of downloads."""
    (tmp_path / "talk [1].mp3").touch()
    assert names([str(tmp_path / "talk [1].mp3")]) == ["talk [1]"]


@pytest.mark.usefixtures("talks")
def test_a_file_that_is_named_twice_is_read_once() -> None:
    """Also through a pattern, its directory, or a link; the first mention counts."""
    Path("link.mp3").symlink_to("talks/b.mp3")
    assert names(["talks/b.mp3", "talks", "talks/*.mp3", "link.mp3", "-", "-"]) == [
        "b",
        "a",
        "day/c",
        "day/d",
        "stdin",
    ]


def test_links_in_circles_are_not_followed(tmp_path: Path) -> None:
    """A directory that holds a link to itself ends."""
    (tmp_path / "a.mp3").touch()
    (tmp_path / "again").symlink_to(tmp_path)
    assert names([str(tmp_path)]) == ["a"]


@pytest.mark.usefixtures("talks")
@pytest.mark.parametrize(
    ("given_input", "words"),
    [
        ("nowhere.mp3", "no file or directory 'nowhere.mp3'"),
        ("*.opus", "No file in '\\*.opus'"),
        ("talks/.cache/.none", "no file or directory"),
        ("http://x.example/a.mp3", "--jobs-url"),
    ],
)
def test_an_input_that_names_nothing_is_refused(given_input: str, words: str) -> None:
    """Before any work, and by its name: a slip of the pen would else look like success."""
    with pytest.raises(BadRequest, match=words):
        names(["talks", given_input])


def test_a_directory_without_media_is_refused(tmp_path: Path) -> None:
    """It is a wrong path more often than an empty one."""
    (tmp_path / "notes.txt").touch()
    with pytest.raises(BadRequest, match="suffix of audio"):
        names([str(tmp_path)])


def test_urls_are_named_by_their_last_part() -> None:
    """Without query, path tricks or hidden names; by their host if there is nothing else."""
    urls = [
        "https://x.example/talks/a%20b.mp3?sig=1",
        "https://y.example/talks/a%20b.mp3",
        "https://x.example/..%2F..%2Fetc%2Fpasswd",
        "HTTPS://x.example",
    ]
    assert names(urls, takes_urls=True) == [
        "x.example/a b.mp3",
        "y.example/a b.mp3",
        "passwd",
        "x",
    ]
    with pytest.raises(BadRequest, match="not a valid URL"):
        names(["http:///a.mp3"], takes_urls=True)


def test_outputs_of_different_recordings_differ(tmp_path: Path) -> None:
    """Equal stems keep their suffix, equal names get their directory, equal all are refused."""
    for name in ("a.mp3", "a.wav", "x/b.mp3", "y/b.mp3", "x/d/t.mp3", "y/d/t.mp3", "c.mp3"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    here = str(tmp_path)
    assert names([f"{here}/a.mp3", f"{here}/a.wav", f"{here}/c.mp3"]) == ["a.mp3", "a.wav", "c"]
    assert names([f"{here}/x/b.mp3", f"{here}/y/b.mp3"]) == ["x/b.mp3", "y/b.mp3"]
    assert names([f"{here}/x", f"{here}/y"]) == [
        "x/b.mp3",
        "x/d/t.mp3",
        "y/b.mp3",
        "y/d/t.mp3",
    ]
    with pytest.raises(BadRequest, match=r"x/d/t\.mp3 and .*y/d/t\.mp3 would be written"):
        names([f"{here}/x/d", f"{here}/y/d"])


parts = st.sampled_from(["a", "b", "a.mp3", "b.wav", "a.wav", "talk.one.mp3", ".mp3"])


@st.composite
def files(draw: st.DrawFn) -> FileSource:
    """A file somewhere below a directory."""
    below = PurePosixPath(*draw(st.lists(parts, min_size=1, max_size=3)))
    parent = draw(st.sampled_from(["x", "y"]))
    return FileSource(Path("/", parent, below), below, parent)


@given(st.lists(files(), unique=True))
def test_names_are_unique_and_stay_below(sources: list[Source]) -> None:
    """Whatever the recordings are called: no transcript replaces another or leaves its place."""
    try:
        names = choose_names(sources)
    except BadRequest:
        longest = [source.names[-1] for source in sources]
        assert len(set(longest)) < len(longest)  # refused only where nothing else helps
        return
    assert len(set(names)) == len(names)
    for source, name in zip(sources, names, strict=True):
        assert name in source.names
        assert ".." not in PurePosixPath(name).parts
        assert not PurePosixPath(name).is_absolute()


def test_a_transcript_never_replaces_a_recording(tmp_path: Path) -> None:
    """A recording called talk.txt, or another one where a transcript would go, is not lost."""
    (tmp_path / "talk.txt").touch()
    (tmp_path / "talk.mp3").touch()
    [odd] = plan_items([str(tmp_path / "talk.txt")], takes_urls=False)
    [talk] = plan_items([str(tmp_path / "talk.mp3")], takes_urls=False)
    for items in ([odd], [talk, BatchItem(odd.source, "other")]):
        with pytest.raises(BadRequest, match=r"replace the recording .*talk\.txt"):
            check_outputs(items, tmp_path, ["srt", "txt"])
        check_outputs(items, tmp_path / "out", ["srt", "txt"])


def test_names_that_are_no_text_can_be_shown(tmp_path: Path) -> None:
    """Linux takes any bytes as a name; the terminal, the manifest and a server do not."""
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp3")
    Path(path).touch()
    [item] = plan_items([path], takes_urls=False)
    assert isinstance(item.source, FileSource)
    assert item.source.filename == "caf\N{REPLACEMENT CHARACTER}.mp3"
    assert item.source.label.encode()

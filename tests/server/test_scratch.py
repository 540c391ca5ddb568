"""Uploads lie where the operator said, or the server does not start."""

import tempfile
from pathlib import Path

import pytest

from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.server.process import check_tmpdir


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As Python has chosen where it could not write; the test's own directory is made before."""
    del tmp_path
    monkeypatch.setattr(tempfile, "tempdir", "/elsewhere")


def test_temporary_files_lie_in_tmpdir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also if its disk was full when Python looked: then an upload is refused there."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    check_tmpdir()
    assert tempfile.gettempdir() == str(tmp_path)


def test_the_choice_is_pythons_where_nobody_made_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable is as good as none."""
    for given in ("", None):
        monkeypatch.delenv("TMPDIR", raising=False)
        if given is not None:
            monkeypatch.setenv("TMPDIR", given)
        check_tmpdir()
        assert tempfile.gettempdir() == "/elsewhere"


def test_a_directory_that_takes_no_files_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One that is not there, and one that is none."""
    (tmp_path / "file").touch()
    for place in (tmp_path / "nope", tmp_path / "file"):
        monkeypatch.setenv("TMPDIR", str(place))
        with pytest.raises(BadRequest, match=f"TMPDIR='{place}': N"):
            check_tmpdir()

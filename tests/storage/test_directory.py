from pathlib import Path

import pytest

from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.storage.directory import lock_directory


def test_one_server_at_a_time(tmp_path: Path) -> None:
    """A second one gets an error of one line; the first one's end frees the directory."""
    with (
        lock_directory(tmp_path),
        pytest.raises(BadRequest, match="Another server uses WHISPERLIVE_DATA_DIR"),
        lock_directory(tmp_path),
    ):
        pass
    with lock_directory(tmp_path) as again:
        assert again == tmp_path


def test_it_is_created_for_us_alone(tmp_path: Path) -> None:
    """Other users of the machine must not read recordings."""
    with lock_directory(tmp_path / "a" / "b") as full:
        assert full.stat().st_mode & 0o077 == 0


def test_a_directory_that_cannot_be_written_is_an_error_of_one_line(tmp_path: Path) -> None:
    """The operator reads which setting to change."""
    (tmp_path / "file").touch()
    with (
        pytest.raises(BadRequest, match="Cannot write to WHISPERLIVE_DATA_DIR"),
        lock_directory(tmp_path / "file" / "below"),
    ):
        pass


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`~` in the setting is expanded as in a shell."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with lock_directory(Path("~/jobs")) as full:
        assert full == tmp_path / "jobs"

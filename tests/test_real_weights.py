"""Tests of real weights without weights or recordings."""

from collections.abc import Callable
from pathlib import Path

import pytest
import real_weights
from real_weights import real_model, real_speech


@pytest.fixture(params=["model", "speech"])
def find_missing(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], Path]:
    """Look for a model or for recordings on a machine without any."""
    monkeypatch.setattr(real_weights, "installed_model", lambda _: None)
    monkeypatch.setenv("SPEECH_DIR", str(tmp_path))
    return real_speech if request.param == "speech" else lambda: real_model("base")


def test_what_is_missing_is_a_skip(
    find_missing: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without weights and recordings the tests are skipped."""
    monkeypatch.delenv("WHISPERLIVE_REAL", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"no weights of Whisper base|no real speech"):
        find_missing()


def test_what_is_missing_is_a_failure_where_it_is_required(
    find_missing: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In CI they fail."""
    monkeypatch.setenv("WHISPERLIVE_REAL", "required")
    with pytest.raises(pytest.fail.Exception):
        find_missing()


def test_recordings_are_found_where_the_variable_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recordings are found by their manifest."""
    (tmp_path / "manifest.jsonl").touch()
    monkeypatch.setenv("SPEECH_DIR", str(tmp_path))
    assert real_speech() == tmp_path.resolve()

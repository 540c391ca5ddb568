"""A store in a temporary directory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from whisperlive_hybrid.jobs.store.store import JobStore, open_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JobStore]:
    """A fresh store."""
    with open_store(tmp_path / "data") as opened:
        yield opened

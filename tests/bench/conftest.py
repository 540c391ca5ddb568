"""What the tests of the benchmark share: the event loop and the clips."""

from pathlib import Path

import pytest
from places import CLIPS


@pytest.fixture
def anyio_backend() -> str:
    """The event loop that the benchmark runs on."""
    return "asyncio"


@pytest.fixture(scope="session")
def clip_folder() -> Path:
    """The committed clips."""
    return CLIPS

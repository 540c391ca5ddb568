"""The images that the tests of this directory run."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from container_engine import TOOLS, Containers, containers, missing_tools


@pytest.fixture(scope="session")
def engine() -> Iterator[Containers]:
    """The image of this tree, in a storage that is gone afterwards."""
    if missing := missing_tools():
        pytest.fail(
            f"{', '.join(missing)} not found. On Debian: apt-get install --no-install-recommends "
            + " ".join(TOOLS)
        )
    # Not in pytest's own directories: it would keep gigabytes of the last three runs.
    with containers(Path(tempfile.mkdtemp(prefix="image-test-", dir="/var/tmp"))) as engine:
        yield engine

"""What a server does for itself."""

import anyio
import pytest

from whisperlive_hybrid.server import process as upkeep

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute is over at once."""
    monkeypatch.setattr(upkeep, "TRIM_INTERVAL_S", 0.0)


async def test_memory_is_given_back_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until there is nothing that could."""
    left = iter([True, True, True, False])
    monkeypatch.setattr(upkeep, "malloc_trim", left.__next__)
    with anyio.fail_after(30):
        await upkeep.trim_memory_periodically()
    assert list(left) == []

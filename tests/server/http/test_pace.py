import anyio
import pytest
from starlette.types import Message

from whisperlive_hybrid.errors import Stalled
from whisperlive_hybrid.server.http import body_limits as pace
from whisperlive_hybrid.server.http.body_limits import GRACE_S, MAX_SILENCE_S, BodyTimeout

pytestmark = pytest.mark.anyio


class Client:
    """Sends parts of a body, each after a time that passes at once."""

    def __init__(self, *parts: tuple[float, int]) -> None:
        """`parts` are (seconds, bytes); after the last one nothing comes."""
        self.now = 0.0
        self._parts = list(parts)

    def clock(self) -> float:
        """Return the time."""
        return self.now

    async def receive(self) -> Message:
        """The next part."""
        if not self._parts:
            await anyio.sleep_forever()
        seconds, n_bytes = self._parts.pop(0)
        self.now += seconds
        return {"type": "http.request", "body": bytes(n_bytes), "more_body": bool(self._parts)}


async def test_a_slow_client_is_served() -> None:
    """A little more than the least rate is enough, for hours."""
    client = Client(*[(10.0, 10_300)] * 300)
    upload = BodyTimeout(1024, longest_s=4000, clock=client.clock)
    for _ in range(300):
        await upload.next(client.receive)
    assert client.now == 3000


async def test_a_body_that_trickles_is_given_up() -> None:
    """A byte from time to time keeps a slot no longer than silence does."""
    client = Client((29.0, 1), (2.0, 1))
    upload = BodyTimeout(1024, longest_s=4000, clock=client.clock)
    await upload.next(client.receive)
    await upload.next(client.receive)
    with pytest.raises(Stalled, match=r"too slowly: 2 bytes in 31 seconds, at least 1024 a second"):
        await upload.next(client.receive)


async def test_what_was_fast_may_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that was ahead of the rate may pause; not for ever, however much it has sent."""
    monkeypatch.setattr(pace, "MAX_SILENCE_S", 0.01)
    client = Client((1.0, 10**9), (50.0, 1))
    upload = BodyTimeout(1024, longest_s=4000, clock=client.clock)
    await upload.next(client.receive)
    await upload.next(client.receive)
    with pytest.raises(Stalled):
        await upload.next(client.receive)
    assert GRACE_S < MAX_SILENCE_S


async def test_the_servers_own_time_is_not_the_clients() -> None:
    """A client that has sent everything at once is not blamed for a slow disk."""
    client = Client(*[(0.0, 1)] * 10)
    upload = BodyTimeout(1024, longest_s=4000, clock=client.clock)
    for _ in range(10):
        await upload.next(client.receive)
        client.now += 100


async def test_no_upload_lasts_for_ever() -> None:
    """The whole body has a timeout by the clock."""
    client = Client((1.0, 10**9), (1.0, 10**9))
    upload = BodyTimeout(1024, longest_s=60, clock=client.clock)
    await upload.next(client.receive)
    await upload.next(client.receive)
    client.now = 61
    with pytest.raises(Stalled, match="did not come to its end in 60 seconds"):
        await upload.next(client.receive)

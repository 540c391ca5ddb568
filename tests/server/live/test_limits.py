"""Limits of callers at the live door."""

from typing import Any

import numpy as np
import pytest
from live_clients import UID, OpenLiveServer, open_live_server

from whisperlive_hybrid.auth.usage import Usage
from whisperlive_hybrid.backends.fake import pause, speak

pytestmark = pytest.mark.anyio

HERE, THERE = {"X-Forwarded-For": "203.0.113.1"}, {"X-Forwarded-For": "203.0.113.2"}
PROXY: dict[str, Any] = {"trusted_proxies": "127.0.0.1"}


async def refused(door: OpenLiveServer, **options: Any) -> float:  # noqa: ANN401 (of the websockets library)
    """Connect, be told to wait, and be closed; for how many minutes."""
    async with door.client(**options) as client:
        await client.greet()
        (message,) = await client.rest()
    assert (message["uid"], message["status"]) == (UID, "WAIT")
    assert client.closed_with == 1000
    minutes = message["message"]
    assert isinstance(minutes, float)
    return minutes


def booked(door: OpenLiveServer) -> Usage:
    """All that was booked since the last look."""
    return sum((row.usage for row in door.quotas.usage.take_unsaved()), Usage())


async def test_streams_of_a_caller_are_bounded() -> None:
    """One too many waits for its own to end, while others are admitted; a place left is free."""
    async with open_live_server(streams_per_caller=1, max_connection_s=600, **PROXY) as door:
        async with door.admitted_from(HERE), door.admitted_from(THERE):
            assert 9 < await refused(door, additional_headers=HERE) <= 10
        await door.wait_until_empty()
        async with door.admitted_from(HERE):
            pass


async def test_connecting_is_a_request() -> None:
    """Whoever comes again and again waits, and is told part of a minute."""
    async with open_live_server(requests_per_minute=2) as door:
        for _ in range(2):
            async with door.admitted():
                pass
        assert 0 < await refused(door) <= 0.5
        assert booked(door) == Usage(requests=2, refused=1, streams=2)


async def test_a_stream_whose_caller_runs_out_is_completed() -> None:
    """All that was sent is read, completed and shown; then DISCONNECT, and WAIT until midnight."""
    async with open_live_server(audio_s_per_day=2.0) as door:
        said = np.concatenate([speak([1, 2]), pause(1.0), speak([3]), pause(1.0)])
        async with door.admitted() as client:
            await client.say(said)
            messages = await client.rest()
        assert client.text == "w1 w2 w3"
        assert messages[-1] == {"uid": UID, "message": "DISCONNECT"}
        assert client.closed_with == 1000
        await door.wait_until_disconnected()
        assert door.count_endings() == {"day_used_up": 1}
        assert 0 < await refused(door) <= 24 * 60
        assert booked(door).live_s == pytest.approx(len(said) / 16_000)


async def test_undeclared_audio_that_is_held_back_is_booked() -> None:
    """Silence of an unknown format waits for a decision; at the end it is heard, and counts."""
    async with open_live_server() as door:
        await door.transcribe(np.zeros(8000, np.float32))
        assert booked(door).live_s == 0.5


async def test_a_client_that_was_refused_leaves_no_trace() -> None:
    """Its place is not taken, and the door stays open for others."""
    async with open_live_server(streams_per_caller=1, **PROXY) as door:
        async with door.admitted_from(HERE):
            await refused(door, additional_headers=HERE)
            assert door.live.n_clients == 1
        await door.wait_until_empty()
        assert door.live.n_clients == 0


async def test_who_is_no_trusted_proxy_speaks_for_nobody() -> None:
    """Without the setting the header is not read, so it gives nobody a second allowance."""
    async with open_live_server(streams_per_caller=1) as door, door.admitted_from(HERE):
        await refused(door, additional_headers=THERE)

"""What was taken, as callers can see it."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from asgi_client import client

from whisperlive_hybrid.backends.fake import speak
from whisperlive_hybrid.types import Samples

pytestmark = pytest.mark.anyio


@pytest.fixture
def audio(write_wav: Callable[[Samples], bytes]) -> bytes:
    """A word."""
    return write_wav(speak([1]))


async def test_what_was_just_taken_is_told(open_app: Callable[..., Any], audio: bytes) -> None:
    """Without keys all callers are one; refusals are listed, and the limits of the caller."""
    limited = {"requests_per_minute": 2, "audio_s_per_day": 60}
    async with open_app(settings=limited) as (app, _), client(app) as http:
        for _ in range(3):
            await http.post("/v1/audio/transcriptions", files={"file": audio})
        body = (await http.get("/v1/usage")).json()
    [today] = body["data"]
    assert today.pop("day")
    assert today == {
        "object": "usage",
        "key": None,
        "name": None,
        "requests": 2,
        "refused": 1,
        "live_streams": 0,
        "audio_seconds": pytest.approx(2 * len(speak([1])) / 16_000),
        "file_seconds": pytest.approx(2 * len(speak([1])) / 16_000),
        "live_seconds": 0.0,
    }
    assert body["limits"] == {
        "requests_per_minute": 2,
        "audio_seconds_per_day": 60.0,
        "live_streams": None,
    }


async def test_a_job_is_told_like_a_file(http: httpx.AsyncClient, audio: bytes) -> None:
    """One request, and the audio once it is read."""
    job = (await http.post("/v1/jobs", files={"file": audio})).json()
    await http.get(f"/v1/jobs/{job['id']}/events")
    [today] = (await http.get("/v1/usage")).json()["data"]
    assert today["requests"] == 1
    assert today["file_seconds"] == pytest.approx(len(speak([1])) / 16_000)


async def test_without_usage_there_are_no_days(http: httpx.AsyncClient) -> None:
    """Looking is no usage."""
    for _ in range(2):
        assert (await http.get("/v1/usage?days=400")).json()["data"] == []


@pytest.mark.parametrize("query", ["days=0", "days=401", "days=x", "day=1", "days=1&days=2"])
async def test_a_query_that_makes_no_sense(http: httpx.AsyncClient, query: str) -> None:
    """It is refused by name."""
    reply = await http.get(f"/v1/usage?{query}")
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == query.partition("=")[0]

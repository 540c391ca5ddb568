"""HEAD: what GET would say, without its body."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import anyio
import httpx
import pytest
from asgi_client import client
from fake_keys import FakeKeys, bearer
from fastapi import FastAPI
from gated_backend import TIMEOUT_S, GatedBackend
from job_fixtures import spoken_wav
from metrics_scrape import Scrape

from whisperlive_hybrid.engine.engine import Engine

pytestmark = pytest.mark.anyio

OpenApp = Callable[..., AbstractAsyncContextManager[tuple[FastAPI, Engine]]]

OF_THE_MOMENT = ("date", "openai-processing-ms", "x-request-id")


def lasting(reply: httpx.Response) -> dict[str, str]:
    """The headers that are the same at each request."""
    return {name: value for name, value in reply.headers.items() if name not in OF_THE_MOMENT}


async def test_head_says_what_get_says(served: str) -> None:
    """The same status and headers, length included, on one connection with the next request."""
    paths = ("/", "/health", "/ready", "/openapi.json", "/v1/models", "/v1/jobs", "/nowhere")
    async with httpx.AsyncClient(base_url=served) as http:
        for path in (*paths, "/v1/models/none", "/web/config.json"):
            head, got = await http.head(path), await http.get(path)
            assert (head.status_code, lasting(head)) == (got.status_code, lasting(got)), path
            assert int(head.headers["content-length"]) == len(got.content) > 0
        for path in ("/metrics", "/v1/server"):
            assert (await http.head(path)).status_code == 200


async def test_what_is_only_posted_has_no_head(served: str) -> None:
    """405, as for GET."""
    async with httpx.AsyncClient(base_url=served) as http:
        reply = await http.head("/v1/audio/transcriptions")
    assert (reply.status_code, reply.headers["allow"]) == (405, "POST")


async def test_the_head_of_a_stream_does_not_wait_for_its_end(open_app: OpenApp) -> None:
    """The job continues without a watcher."""
    backend = GatedBackend()
    async with open_app(backend) as (app, _), client(app) as http:
        job = (await http.post("/v1/jobs", files={"file": spoken_wav(1)})).json()
        with anyio.fail_after(TIMEOUT_S):
            reply = await http.head(f"/v1/jobs/{job['id']}/events")
        assert (reply.status_code, reply.content) == (200, b"")
        assert reply.headers["content-type"].startswith("text/event-stream")
        assert "content-length" not in reply.headers
        backend.gate.set()
        last = (await http.get(f"/v1/jobs/{job['id']}/events")).text.split("\n\n")[-2]
        assert '"status":"completed"' in last


async def test_keys_hold_for_head(open_app: OpenApp) -> None:
    """HEAD needs a key where GET does, and reveals nothing else without one."""
    keys = FakeKeys()
    token = keys.made(1)
    async with open_app(settings={"auth": True}, keys=keys) as (app, _), client(app) as http:
        assert (await http.head("/health")).status_code == 200
        assert (await http.head("/v1/jobs")).status_code == 401
        assert (await http.head("/v1/jobs", headers=bearer(token))).status_code == 200


async def test_head_is_counted_as_such(http: httpx.AsyncClient) -> None:
    """Under the route that it asked for."""
    await http.head("/v1/jobs/job_no")
    scrape = Scrape((await http.get("/metrics")).text)
    counted = scrape.total(
        "whisperlive_http_requests_total", method="HEAD", route="/v1/jobs/{job_id}", status="404"
    )
    assert counted == 1

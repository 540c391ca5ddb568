from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus

import anyio
import anyio.to_thread
import pytest
from asgi_client import client
from fastapi import FastAPI
from gated_backend import TIMEOUT_S, GatedBackend
from metrics_scrape import Scrape

from whisperlive_hybrid.backends.fake import speak
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.types import Samples

pytestmark = pytest.mark.anyio

OpenApp = Callable[..., AbstractAsyncContextManager[tuple[FastAPI, Engine]]]
WriteWav = Callable[[Samples], bytes]


async def test_a_server_at_rest_is_ready(open_app: OpenApp) -> None:
    """Every check is named, and no proxy may keep the answer."""
    async with open_app() as (app, _), client(app) as http:
        reply = await http.get("/ready")
    assert reply.status_code == HTTPStatus.OK
    assert reply.headers["cache-control"] == "no-store"
    checks = {"model": True, "queue": True, "disk": True, "accepting": True}
    assert reply.json() == {"ready": True, "failing": [], "checks": checks}


async def test_a_full_queue_is_not_ready_but_healthy(
    open_app: OpenApp, write_wav: WriteWav
) -> None:
    """A balancer sends work elsewhere, without a restart, until the check passes again."""
    backend = GatedBackend()
    async with open_app(backend, queue_limit=1) as (app, _), client(app) as http:
        async with anyio.create_task_group() as tasks:
            files = {"file": write_wav(speak([1]))}
            tasks.start_soon(lambda: http.post("/transcribe", files=files))
            await anyio.to_thread.run_sync(backend.reached.wait, TIMEOUT_S)
            reply = await http.get("/ready")
            assert (reply.status_code, reply.json()["failing"]) == (503, ["queue"])
            assert (await http.get("/health")).status_code == HTTPStatus.OK
            seen = (await http.get("/v1/server")).json()
            assert seen["uploads"] == 1
            backend.gate.set()
        assert (await http.get("/ready")).status_code == HTTPStatus.OK


async def test_a_full_disk_is_not_ready(open_app: OpenApp) -> None:
    """The floor is a setting."""
    settings = {"min_free_mb": 1e9}
    async with open_app(settings=settings) as (app, _), client(app) as http:
        reply = await http.get("/ready")
    assert (reply.status_code, reply.json()["failing"]) == (503, ["disk"])


async def test_an_engine_that_has_stopped_is_not_ready(open_app: OpenApp) -> None:
    """Without its workers nothing would ever be answered."""
    async with open_app() as (app, engine), client(app) as http:
        await engine.__aexit__()
        reply = await http.get("/ready")
    assert (reply.status_code, reply.json()["failing"]) == (503, ["model"])


async def test_the_state_is_there_as_json(open_app: OpenApp, write_wav: WriteWav) -> None:
    """What a page draws, without parsing the format of Prometheus."""
    async with open_app() as (app, _), client(app) as http:
        fresh = (await http.get("/v1/server")).json()
        assert fresh["models"] == [{"name": "fake", "real_time_factor": None}]
        await http.post("/transcribe", files={"file": write_wav(speak([1, 2]))})
        seen = (await http.get("/v1/server")).json()
    assert (seen["status"], seen["backend"], seen["live_clients"]) == ("ready", "fake", 3)
    assert seen["queue"] == {"final": 0, "update": 0, "short_file": 0, "bulk": 0}
    assert seen["models"][0]["real_time_factor"] > 0
    assert seen["uptime_s"] >= 0
    assert seen["uploads"] == 0


async def test_jobs_are_counted_by_status(open_app: OpenApp, write_wav: WriteWav) -> None:
    """In both formats, with every status that there is."""
    async with open_app() as (app, _), client(app) as http:
        job = (await http.post("/v1/jobs", files={"file": write_wav(speak([1]))})).json()
        await http.get(f"/v1/jobs/{job['id']}/events")
        seen = (await http.get("/v1/server")).json()
        scrape = Scrape((await http.get("/metrics")).text)
    jobs = {"queued": 0, "running": 0, "completed": 1, "failed": 0, "cancelled": 0}
    assert seen["jobs"] == jobs
    for status, number in jobs.items():
        assert scrape.total("whisperlive_jobs", status=status) == number


async def test_metrics_can_be_switched_off(open_app: OpenApp) -> None:
    """Then the route is unknown like any other."""
    async with open_app(settings={"metrics": False}) as (app, _), client(app) as http:
        assert (await http.get("/metrics")).status_code == HTTPStatus.NOT_FOUND
        assert (await http.get("/ready")).status_code == HTTPStatus.OK


async def test_no_telemetry_of_the_web_framework(
    open_app: OpenApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FastAPI would send the query of every URL, tokens and all, to where the environment says."""
    monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")
    async with open_app() as (app, _):
        assert not app._native_telemetry.enabled()
        assert not app._telemetry["auto_configure"]

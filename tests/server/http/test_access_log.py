"""What is logged and counted of requests."""

import json
import logging
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from io import StringIO

import httpx
import pytest
import structlog
from asgi_client import client
from fastapi import FastAPI
from metrics_scrape import IDLE_STATE, Scrape
from starlette.types import Message, Receive, Scope, Send

from whisperlive_hybrid.auth.authenticator import Authenticator
from whisperlive_hybrid.backends.fake import Trouble, speak
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.server.http.access_log import AccessLogMiddleware
from whisperlive_hybrid.telemetry.logging import configure_logging
from whisperlive_hybrid.telemetry.metrics import Metrics
from whisperlive_hybrid.telemetry.tracing import NO_TRACER
from whisperlive_hybrid.types import Samples

pytestmark = pytest.mark.anyio

OpenApp = Callable[..., AbstractAsyncContextManager[tuple[FastAPI, Engine]]]
WriteWav = Callable[[Samples], bytes]
Lines = Callable[[], list[dict[str, object]]]


@pytest.fixture
async def http(open_app: OpenApp) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server with an instant backend."""
    async with open_app() as (app, _), client(app) as connected:
        yield connected


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    """Log as a server does, in JSON; gives what was logged since it was last asked."""
    root, written = logging.getLogger(), StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    before, level = root.handlers, root.level
    configure_logging(form="json", level="debug")

    def read() -> list[dict[str, object]]:
        logged = [json.loads(line) for line in written.getvalue().splitlines()]
        written.seek(0)
        written.truncate()
        return logged

    yield read
    root.handlers = before
    root.setLevel(level)
    structlog.reset_defaults()


async def scrape(http: httpx.AsyncClient) -> Scrape:
    """The text of /metrics."""
    return Scrape((await http.get("/metrics")).text)


async def test_a_request_is_one_line_with_the_id_of_its_reply(
    http: httpx.AsyncClient, lines: Lines
) -> None:
    """Method, template, status, seconds and bytes; nothing of the path that a client made."""
    lines()
    reply = await http.get("/v1/jobs/job_secret?token=hush")
    (line,) = [each for each in lines() if each["event"] == "request"]
    assert line["request_id"] == reply.headers["x-request-id"]
    assert (line["method"], line["route"]) == ("GET", "/v1/jobs/{job_id}")
    assert (line["status"], line["failure"]) == (404, "not_found")
    assert line["bytes"] == len(reply.content)
    assert isinstance(line["seconds"], float)
    assert line["caller"] == "address:127.0.0.1"
    assert "secret" not in json.dumps(line)
    assert "hush" not in json.dumps(line)


@pytest.mark.parametrize(
    ("given", "is_taken"),
    [
        ("trace-1.a_B", True),
        ("0f8fad5b-d9cb-469f-a165-70867728950e", True),
        ("x" * 64, True),
        ("x" * 65, False),
        ("a b", False),
        ("-a", False),
        ("<b>", False),
        ("ä".encode().decode("latin-1"), False),
        ("", False),
    ],
)
async def test_a_client_may_bring_its_own_id(
    http: httpx.AsyncClient, lines: Lines, given: str, *, is_taken: bool
) -> None:
    """If it is short and plain; then the reply and every line have it."""
    lines()
    reply = await http.get("/v1/models", headers={b"x-request-id": given.encode("latin-1")})
    shown = reply.headers["x-request-id"]
    assert (shown == given) is is_taken
    assert is_taken or re.fullmatch(r"req_[0-9a-f]{32}", shown)
    assert {line["request_id"] for line in lines()} == {shown}


async def test_what_fails_in_a_worker_thread_is_logged_with_the_id(
    http: httpx.AsyncClient, lines: Lines, write_wav: WriteWav
) -> None:
    """The stack of the runtime is in the log, beside the id that the client was shown."""
    lines()
    files = {"file": write_wav(speak([Trouble.ITEM_FAILS]))}
    reply = await http.post("/v1/audio/transcriptions", files=files)
    assert reply.status_code == 500
    logged = {str(line["event"]): line for line in lines()}
    failure = logged["the model failed on a window"]
    assert "Traceback" in str(failure["exception"])
    assert failure["request_id"] == reply.headers["x-request-id"]
    assert logged["request"]["failure"] == "backend_failed"


async def test_probes_are_counted_but_logged_at_debug_only(
    http: httpx.AsyncClient, lines: Lines
) -> None:
    """They come every few seconds."""
    lines()
    await http.get("/health")
    assert {line["level"] for line in lines()} == {"debug"}
    seen = await scrape(http)
    assert seen.total("whisperlive_http_requests_total", route="/health", status="200") == 1


async def test_labels_are_bounded_whatever_clients_ask(http: httpx.AsyncClient) -> None:
    """Neither a path nor a method of a client's own making becomes a series."""
    for number in range(20):
        await http.request(f"BREW{number}", f"/made/up/{number}")
        await http.get(f"/v1/jobs/job_{number}")
        await http.get(f"/v1/models/owner/name-{number}")
    seen = await scrape(http)
    series = seen.labels("whisperlive_http_requests_total")
    assert {(each["method"], each["route"], each["status"]) for each in series} == {
        ("other", "none", "404"),
        ("GET", "/v1/jobs/{job_id}", "404"),
        ("GET", "/v1/models/{model:path}", "404"),
    }
    assert seen.total("whisperlive_http_requests_total") == 60
    assert seen.total("whisperlive_errors_total", door="http", kind="not_found") == 40
    assert seen.total("whisperlive_errors_total", door="http", kind="bad_request") == 20


async def test_who_is_refused_before_its_route_is_still_known(
    open_app: OpenApp, lines: Lines
) -> None:
    """By address and by requested route: an operator may want to block a client."""
    async with open_app(settings={"auth": True}) as (app, _), client(app) as http:
        lines()
        await http.get("/v1/jobs/job_1", headers={"authorization": "Bearer wrong"})
        await http.post("/v1/jobs", headers={"host": "evil.example", "origin": "http://b.example"})
        await http.get("/made/up")
        logged = [each for each in lines() if each["event"] == "request"]
    assert [(each["status"], each["route"]) for each in logged] == [
        (401, "/v1/jobs/{job_id}"),
        (403, "/v1/jobs"),
        (401, "none"),
    ]
    assert {each["caller"] for each in logged} == {"address:127.0.0.1"}


async def test_a_refusal_is_counted_by_its_reason(open_app: OpenApp, write_wav: WriteWav) -> None:
    """What the server would not take is no error of the client."""
    async with open_app() as (app, _), client(app) as http:
        files = {"file": b"\0" * 2**21}
        assert (await http.post("/v1/audio/transcriptions", files=files)).status_code == 413
        files = {"file": write_wav(speak([1]))}
        assert (await http.post("/transcribe", files=files)).status_code == 200
        seen = await scrape(http)
    assert seen.total("whisperlive_refused_total", door="http", reason="too_large") == 1
    assert seen.total("whisperlive_errors_total") == 0


async def watched(*messages: Message) -> tuple[Metrics, Scope]:
    """Pass a WebSocket through, whose application sends these messages."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        for message in messages:
            await send(message)

    async def receive() -> Message:
        return {}

    async def send(message: Message) -> None:
        del message

    metrics, scope = Metrics(), {"type": "websocket", "path": "/w", "headers": []}
    await AccessLogMiddleware(app, metrics.server, NO_TRACER, Authenticator())(scope, receive, send)
    return metrics, scope


@pytest.mark.parametrize(
    ("messages", "status"),
    [
        ([{"type": "websocket.accept"}, {"type": "websocket.close"}], "101"),
        ([{"type": "websocket.close"}], "403"),
        ([], "499"),
    ],
    ids=["accepted", "refused", "gone"],
)
async def test_a_websocket_is_one_request(messages: list[Message], status: str) -> None:
    """With the status of its handshake."""
    metrics, _ = await watched(*messages)
    series = Scrape(metrics.render(IDLE_STATE)[0].decode())
    assert series.total("whisperlive_http_requests_total", status=status) == 1
    assert series.total("whisperlive_http_requests_total", method="WEBSOCKET") == 1

"""Web pages on the HTTP server: forged Origin and Host headers, and what browsers may read."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager

import httpx
import pytest
from asgi_client import client
from fastapi import FastAPI
from structlog.testing import capture_logs
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from whisperlive_hybrid.backends.fake import speak
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.types import Samples

pytestmark = pytest.mark.anyio

FRIEND, FOREIGN = "https://friend.example", "https://evil.example"
PATH = "/v1/audio/transcriptions"

OpenApp = Callable[..., AbstractAsyncContextManager[tuple[FastAPI, Engine]]]


@pytest.fixture
def audio(write_wav: Callable[[Samples], bytes]) -> bytes:
    """The words w1 to w3."""
    return write_wav(speak([1, 2, 3]))


@pytest.fixture(scope="module")
def address(serve: Callable[..., AbstractContextManager[str]]) -> Iterator[str]:
    """A real server of this machine alone, with one page that is a friend."""
    with serve(settings={"host": "127.0.0.1", "allowed_origins": FRIEND}) as served:
        yield served


@pytest.fixture
async def asked(address: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of it."""
    async with httpx.AsyncClient(base_url=address) as connected:
        yield connected


def forged(origin: str | None, host: str | None = None) -> dict[str, str]:
    """The headers."""
    given = {"Origin": origin, "Host": host}
    return {name: value for name, value in given.items() if value is not None}


class TestChanges:
    """Requests that a page may send without asking first."""

    @pytest.mark.parametrize("path", [PATH, "/v1/jobs", "/v1/jobs/job_1/cancel", "/nowhere"])
    @pytest.mark.parametrize("origin", [FOREIGN, "null", "chrome-extension://abc"])
    async def test_a_foreign_page_changes_nothing(
        self, asked: httpx.AsyncClient, audio: bytes, path: str, origin: str
    ) -> None:
        """Its form is refused before it is read, in an error that even it cannot read."""
        reply = await asked.post(path, files={"file": ("a.wav", audio)}, headers=forged(origin))
        assert reply.status_code == 403
        error = reply.json()["error"]
        assert error["code"] == "origin_not_allowed"
        assert origin in error["message"]
        assert reply.headers["x-request-id"]
        assert "access-control-allow-origin" not in reply.headers

    async def test_nor_deletes_anything(self, asked: httpx.AsyncClient) -> None:
        """Whatever its browser asks first."""
        reply = await asked.delete("/v1/jobs/job_1", headers=forged(FOREIGN))
        assert reply.status_code == 403

    async def test_the_older_api_refuses_in_its_own_words(self, asked: httpx.AsyncClient) -> None:
        """As for every other error."""
        reply = await asked.post("/transcribe", headers=forged(FOREIGN))
        assert reply.status_code == 403
        assert FOREIGN in reply.json()["error"]

    async def test_programs_and_welcome_pages_are_served(
        self, asked: httpx.AsyncClient, audio: bytes, address: str
    ) -> None:
        """No origin, our own, and the one on the list."""
        for origin in (None, address, FRIEND):
            reply = await asked.post(PATH, files={"file": ("a.wav", audio)}, headers=forged(origin))
            assert reply.json() == {"text": "w1 w2 w3", "usage": reply.json()["usage"]}

    async def test_the_operator_reads_who_was_refused(self, open_app: OpenApp) -> None:
        """A page shows its visitor nothing of it."""
        async with open_app() as (app, _), client(app) as http:
            with capture_logs() as logs:
                await http.post(PATH, headers=forged(FOREIGN))
        [line] = [each for each in logs if each["event"] == "page refused"]
        assert (line["path"], FOREIGN in line["reason"]) == (PATH, True)


class TestWebSockets:
    """Which browsers let every page open."""

    @pytest.mark.parametrize("origin", [FOREIGN, "null", "chrome-extension://abc"])
    async def test_foreign_pages_may_not_watch(self, address: str, origin: str) -> None:
        """They get the same error in place of the upgrade."""
        url = f"{address.replace('http', 'ws')}/v1/jobs/job_no/ws"
        with pytest.raises(InvalidStatus) as refused:
            await connect(url, origin=Origin(origin))
        assert refused.value.response.status_code == 403
        assert b'"code":"origin_not_allowed"' in refused.value.response.body

    async def test_the_page_on_the_list_may(self, address: str) -> None:
        """Up to the response that there is no such job."""
        url = f"{address.replace('http', 'ws')}/v1/jobs/job_no/ws"
        async with connect(url, origin=Origin(FRIEND)) as socket:
            with pytest.raises(ConnectionClosed):
                await socket.recv()
        assert socket.close_code == 4404


class TestNames:
    """Pages whose own name was made to point at us."""

    @pytest.mark.parametrize("path", ["/", "/health", "/v1/jobs", "/nowhere"])
    async def test_a_rebound_name_reads_nothing(self, asked: httpx.AsyncClient, path: str) -> None:
        """To its browser the answer would be of the page's own origin."""
        reply = await asked.get(path, headers=forged(None, "evil.example:8080"))
        assert reply.status_code == 403
        assert reply.json()["error"]["code"] == "host_not_allowed"

    @pytest.mark.parametrize("host", ["127.0.0.1", "10.1.2.3:8080", "[::1]:8080", "localhost"])
    async def test_probes_ask_by_address(self, asked: httpx.AsyncClient, host: str) -> None:
        """And need no setting."""
        assert (await asked.get("/health", headers=forged(None, host))).status_code == 200

    async def test_a_server_of_a_network_answers_to_any_name(self, open_app: OpenApp) -> None:
        """Until its operator has listed some."""
        async with open_app() as (app, _), client(app) as http:
            named = await http.get("/health", headers=forged(None, "whisper.lan"))
        async with open_app(settings={"allowed_hosts": "pc.lan"}) as (app, _), client(app) as http:
            unknown = await http.get("/health", headers=forged(None, "whisper.lan"))
        assert (named.status_code, unknown.status_code) == (200, 403)


class TestReading:
    """CORS: what a browser lets a listed page see."""

    async def test_a_browser_may_send_what_sdks_send(self, asked: httpx.AsyncClient) -> None:
        """The question before a request with headers of its own, from inside a network too."""
        wanted = "authorization,content-type,x-progress-id,x-stainless-lang"
        reply = await asked.options(
            PATH,
            headers={
                **forged(FRIEND),
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": wanted,
                "Access-Control-Request-Private-Network": "true",
            },
        )
        assert reply.status_code == 200
        assert reply.headers["access-control-allow-origin"] == FRIEND
        assert reply.headers["access-control-allow-headers"] == wanted
        assert "POST" in reply.headers["access-control-allow-methods"]
        assert reply.headers["access-control-allow-private-network"] == "true"
        assert "access-control-allow-credentials" not in reply.headers

    @pytest.mark.parametrize(
        ("method", "path", "headers", "status"),
        [
            ("GET", "/health", {}, 200),
            ("POST", PATH, {}, 400),
            ("GET", "/nowhere", {}, 404),
            ("POST", "/v1/jobs", {"Host": "evil.example"}, 403),
        ],
        ids=["answer", "bad request", "no route", "foreign name"],
    )
    async def test_a_listed_page_reads_answers_and_errors(
        self,
        asked: httpx.AsyncClient,
        method: str,
        path: str,
        headers: dict[str, str],
        status: int,
    ) -> None:
        """Refusals included, and the headers that SDKs look at."""
        reply = await asked.request(method, path, headers={**forged(FRIEND), **headers})
        assert reply.status_code == status
        assert reply.headers["access-control-allow-origin"] == FRIEND
        assert reply.headers["vary"] == "Origin"
        exposed = set(reply.headers["access-control-expose-headers"].split(", "))
        assert {"x-request-id", "retry-after", "x-should-retry"} <= exposed
        assert "x-ratelimit-remaining-requests" in exposed

    async def test_others_read_nothing(self, asked: httpx.AsyncClient) -> None:
        """They are answered, as images are, but the browser keeps the answer to itself."""
        reply = await asked.get("/v1/jobs", headers=forged(FOREIGN))
        assert reply.status_code == 200
        assert "access-control-allow-origin" not in reply.headers
        question = {**forged(FOREIGN), "Access-Control-Request-Method": "DELETE"}
        refused = await asked.options("/v1/jobs/job_1", headers=question)
        assert refused.status_code == 400
        assert "access-control-allow-origin" not in refused.headers

    async def test_without_a_list_there_is_no_cors(self, open_app: OpenApp) -> None:
        """A question is then a method like any other that no route knows."""
        async with open_app() as (app, _), client(app) as http:
            question = {**forged(FRIEND), "Access-Control-Request-Method": "POST"}
            refused = await http.options(PATH, headers=question)
            plain = await http.get("/health", headers=forged(FRIEND))
        assert refused.status_code == 405
        assert plain.status_code == 200
        assert not [name for name in plain.headers if name.startswith("access-control-")]

    async def test_a_star_lets_every_page_read(self, open_app: OpenApp) -> None:
        """As the operator has asked."""
        async with open_app(settings={"allowed_origins": "*"}) as (app, _), client(app) as http:
            reply = await http.post("/v1/jobs", headers=forged(FOREIGN))
        assert reply.status_code == 400
        assert reply.headers["access-control-allow-origin"] == "*"

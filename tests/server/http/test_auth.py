"""Who asks over HTTP, and who is turned away."""

import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest
from asgi_client import client
from fake_keys import FakeKeys, bearer
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.types import Message
from starlette.websockets import WebSocketDisconnect

from whisperlive_hybrid.auth import keys as wrong_keys
from whisperlive_hybrid.auth.authenticator import Authenticator
from whisperlive_hybrid.auth.network import TrustedProxies
from whisperlive_hybrid.backends.fake import speak
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.server.http.auth import AuthMiddleware, caller_of
from whisperlive_hybrid.types import Samples

pytestmark = pytest.mark.anyio

OpenApp = Callable[..., AbstractAsyncContextManager[tuple[FastAPI, Engine]]]
WriteWav = Callable[[Samples], bytes]

AUTH = {"auth": True}
WORK = "/v1/audio/transcriptions"


@pytest.fixture
def audio(write_wav: WriteWav) -> bytes:
    """The words w1 to w3."""
    return write_wav(speak([1, 2, 3]))


@asynccontextmanager
async def guarded(open_app: OpenApp, keys: FakeKeys) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server that requires keys."""
    async with open_app(settings=AUTH, keys=keys) as (app, _), client(app) as http:
        yield http


def fault(reply: httpx.Response) -> tuple[int, Any]:
    """Status and code of a refusal, which must be OpenAI's to the letter."""
    assert reply.headers["www-authenticate"] == "Bearer"
    error = reply.json()["error"]
    assert list(reply.json()) == ["error"]
    assert list(error) == ["message", "type", "param", "code"]
    assert (error["type"], error["param"]) == ("invalid_request_error", None)
    return reply.status_code, error["code"]


def test_a_route_knows_its_caller() -> None:
    """The address is the peer's, without its port."""
    assert asked(TrustedProxies(), "192.0.2.7") == "192.0.2.7"


def test_a_trusted_proxy_tells_who_asks() -> None:
    """Several headers are read as one, and only those of trusted proxies."""
    proxies = TrustedProxies.parse("192.0.2.0/24")
    said = [("X-Forwarded-For", "198.51.100.1, 203.0.113.9"), ("X-Forwarded-For", "192.0.2.8")]
    assert asked(proxies, "192.0.2.7", said) == "203.0.113.9"
    assert asked(proxies, "198.51.100.7", said) == "198.51.100.7"


def asked(proxies: TrustedProxies, peer: str, headers: Sequence[tuple[str, str]] = ()) -> str:
    """The caller's address as a route sees it."""

    async def who(request: Request) -> str:
        return caller_of(request).address

    app = FastAPI(
        middleware=[Middleware(AuthMiddleware, authenticator=Authenticator(proxies=proxies))]
    )
    app.get("/who")(who)
    # With a list, headers of one name stay apart.
    reply = TestClient(app, client=(peer, 4711)).get("/who", headers=httpx.Headers(list(headers)))
    address = reply.json()
    assert isinstance(address, str)
    return address


async def test_a_key_opens_the_server(open_app: OpenApp, audio: bytes) -> None:
    """As Bearer, in any case of that word."""
    keys = FakeKeys()
    token = keys.made(1)
    async with guarded(open_app, keys) as http:
        for scheme in ("Bearer", "bearer", "BEARER "):
            headers = {"authorization": f"{scheme} {token}"}
            reply = await http.post(WORK, files={"file": audio}, headers=headers)
            assert reply.json()["text"] == "w1 w2 w3"


async def test_a_missing_key_and_a_wrong_one(open_app: OpenApp) -> None:
    """401 in OpenAI's shape, on every route that is not open; the key is not repeated."""
    keys = FakeKeys()
    token = keys.made(1)
    wrong = token[:-1] + ("0" if token[-1] != "0" else "1")
    async with guarded(open_app, keys) as http:
        for method, path in (
            ("GET", "/v1/models"),
            ("GET", "/v1/jobs"),
            ("POST", "/v1/jobs"),
            ("DELETE", "/v1/jobs/job_1"),
            ("GET", "/v1/jobs/job_1/events"),
            ("GET", "/no/such/route"),
            ("POST", WORK),
        ):
            missing = await http.request(method, path)
            assert fault(missing) == (401, None)
            assert missing.json()["error"]["message"].startswith("You didn't provide an API key.")
            refused = await http.request(method, path, headers=bearer(wrong))
            assert fault(refused) == (401, "invalid_api_key")
            assert wrong not in refused.text
            assert refused.headers["x-request-id"]


async def test_guesses_wait_for_their_answer(
    open_app: OpenApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first wrong key of a minute is refused at once, the next is not."""
    monkeypatch.setattr(wrong_keys, "REFUSAL_DELAY_S", 0.5)
    settings = {**AUTH, "wrong_keys_per_minute": 1}
    async with open_app(settings=settings, keys=FakeKeys()) as (app, _), client(app) as http:
        assert fault(await http.get("/v1/models", headers=bearer("wrong")))
        began = time.monotonic()
        refused = await http.get("/v1/models", headers=bearer("wrong"))
        assert fault(refused) == (401, "invalid_api_key")
        assert time.monotonic() - began > 0.5


async def test_older_routes_have_their_own_shape(open_app: OpenApp) -> None:
    """Also for this."""
    async with guarded(open_app, FakeKeys()) as http:
        reply = await http.post("/transcribe")
        assert reply.status_code == 401
        assert list(reply.json()) == ["success", "error"]


@pytest.mark.parametrize("path", ["/", "/health", "/openapi.json", "/test_form.html"])
async def test_what_is_open_is_open(open_app: OpenApp, path: str) -> None:
    """For load balancers, and for people who want to know what the server is."""
    async with guarded(open_app, FakeKeys()) as http:
        assert (await http.get(path)).status_code == 200
        assert (await http.get(path, headers=bearer("wrong"))).status_code == 200


@pytest.mark.parametrize("path", ["/%2Fhealth", "/health%2F", "/web/", "/Health", "/healthz"])
async def test_what_only_looks_open_is_not(open_app: OpenApp, path: str) -> None:
    """Paths are compared letter by letter, once their slashes are in order."""
    async with guarded(open_app, FakeKeys()) as http:
        assert (await http.get(f"http://server{path}")).status_code == 401


async def test_revocation_and_new_keys_hold_from_the_next_request_on(open_app: OpenApp) -> None:
    """Without a restart, and without a moment of grace."""
    keys = FakeKeys()
    token = keys.made(1)
    async with guarded(open_app, keys) as http:
        assert (await http.get("/v1/models", headers=bearer(token))).status_code == 200
        keys.revoke(1)
        assert (await http.get("/v1/models", headers=bearer(token))).status_code == 401
        assert (await http.get("/v1/models", headers=bearer(keys.made(2)))).status_code == 200


@pytest.mark.parametrize(
    "shown",
    [
        b"Bearer " + b"x" * 60_000,
        b"Bearer wlk_" + b"0" * 12 + b"_" + b"\xff" * 64,
        b"Bearer \x00",
        "Bearer schlüssel".encode(),
        b"Bearer wlk_000000000001_" + b"0" * 64,
        b"Bearer a b c",
    ],
)
async def test_hostile_tokens_are_wrong_tokens(open_app: OpenApp, shown: bytes) -> None:
    """Nothing more happens."""
    keys = FakeKeys()
    keys.made(1)
    async with guarded(open_app, keys) as http:
        reply = await http.get("/v1/models", headers=[(b"authorization", shown)])
        assert fault(reply) == (401, "invalid_api_key")


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic eDp5", "wlk_x"])
async def test_what_is_no_bearer_token_is_no_key(open_app: OpenApp, header: str) -> None:
    """It was not provided, rather than wrong."""
    async with guarded(open_app, FakeKeys()) as http:
        reply = await http.get("/v1/models", headers={"authorization": header})
        assert fault(reply) == (401, None)


async def test_a_key_in_the_url_is_taken_only_where_no_header_can_be_set(
    open_app: OpenApp, audio: bytes
) -> None:
    """By EventSource on the events of a job; URLs are written down everywhere."""
    keys = FakeKeys()
    token = keys.made(1)
    async with guarded(open_app, keys) as http:
        made = await http.post("/v1/jobs", files={"file": audio}, headers=bearer(token))
        job = made.json()["id"]
        events = await http.get(f"/v1/jobs/{job}/events?token={token}")
        assert events.status_code == 200
        first_wins = await http.get(f"/v1/jobs/{job}/events?token=no&token={token}")
        assert first_wins.status_code == 401
        for path in (f"/v1/jobs/{job}", "/v1/jobs", f"/v1/jobs/{job}/result"):
            assert (await http.get(f"{path}?token={token}")).status_code == 401
        posted = await http.post(f"/v1/jobs/{job}/events?token={token}")
        assert posted.status_code == 401


async def test_nothing_of_a_body_is_read_without_a_key(open_app: OpenApp) -> None:
    """A client that waits for 100 Continue gets none either."""
    async with open_app(settings=AUTH, keys=FakeKeys()) as (app, _):
        sent = list[Message]()

        async def receive() -> Message:
            raise AssertionError("the body was asked for")

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": WORK,
            "raw_path": WORK.encode(),
            "query_string": b"",
            "headers": [(b"content-length", b"100000000"), (b"expect", b"100-continue")],
        }
        await app(scope, receive, send)
        assert [message["status"] for message in sent if "status" in message] == [401]


async def test_two_keys_do_not_see_each_others_jobs(open_app: OpenApp, audio: bytes) -> None:
    """By no route, nor in lists, nor as the place where a page begins; an admin sees all."""
    keys = FakeKeys()
    mine, other, admin = keys.made(1), keys.made(2), keys.made(3, is_admin=True)
    async with guarded(open_app, keys) as http:
        made = await http.post("/v1/jobs", files={"file": audio}, headers=bearer(mine))
        job = made.json()["id"]
        await http.get(f"/v1/jobs/{job}/events", headers=bearer(mine))
        unknown = await http.get("/v1/jobs/job_nobodys", headers=bearer(other))
        for method, path in (
            ("GET", f"/v1/jobs/{job}"),
            ("GET", f"/v1/jobs/{job}/result"),
            ("GET", f"/v1/jobs/{job}/events"),
            ("POST", f"/v1/jobs/{job}/cancel"),
            ("DELETE", f"/v1/jobs/{job}"),
            ("GET", f"/v1/jobs?after={job}"),
        ):
            reply = await http.request(method, path, headers=bearer(other))
            assert reply.status_code == 404
            assert reply.json() == json.loads(unknown.text.replace("job_nobodys", job))
        assert (await http.get("/v1/jobs", headers=bearer(other))).json()["data"] == []
        for token in (mine, admin):
            listed = (await http.get("/v1/jobs", headers=bearer(token))).json()["data"]
            assert [each["id"] for each in listed] == [job]
            result = await http.get(f"/v1/jobs/{job}/result", headers=bearer(token))
            assert result.json()["text"] == "w1 w2 w3"
        assert (await http.delete(f"/v1/jobs/{job}", headers=bearer(admin))).status_code == 200


async def test_two_keys_do_not_watch_each_others_uploads(
    open_app: OpenApp, write_wav: WriteWav
) -> None:
    """The id that a client has chosen is its own: another's under the same id is another."""
    keys = FakeKeys()
    tokens = {word: keys.made(word) for word in (1, 2)}
    async with guarded(open_app, keys) as http:
        for word, token in tokens.items():
            headers = {**bearer(token), "x-progress-id": "the-same-id"}
            await http.post(WORK, files={"file": write_wav(speak([word]))}, headers=headers)
        for word, token in tokens.items():
            watched = await http.get("/v1/jobs/the-same-id/events", headers=bearer(token))
            last = json.loads(watched.text.removeprefix("data: "))
            assert (last["type"], last["text"]) == ("upload.completed", f"w{word}")


async def test_without_keys_everybody_sees_all_jobs(open_app: OpenApp, audio: bytes) -> None:
    """As before there were keys, from whatever address."""
    async with open_app() as (app, _):
        with (
            TestClient(app, client=("192.0.2.1", 1)) as one,
            TestClient(app, client=("192.0.2.2", 1)) as two,
        ):
            job = one.post("/v1/jobs", files={"file": audio}).json()["id"]
            assert two.get(f"/v1/jobs/{job}").status_code == 200


async def test_sockets_of_jobs_take_keys_in_every_way(open_app: OpenApp) -> None:
    """In a header, in the URL, as a subprotocol; `bearer` alone is echoed."""
    keys = FakeKeys()
    token = keys.made(1)
    async with open_app(settings=AUTH, keys=keys) as (app, _):
        path, browser = "/v1/jobs/job_nobodys/ws", TestClient(app, base_url="http://server")
        ways: list[tuple[str, dict[str, str], list[str]]] = [
            (path, bearer(token), []),
            (f"{path}?token={token}", {}, []),
            (path, {}, ["bearer", token]),
            (path, {}, [token, "bearer"]),
        ]
        for url, headers, offered in ways:
            with browser.websocket_connect(url, offered, headers=headers) as socket:
                assert socket.accepted_subprotocol == ("bearer" if offered else None)
                with pytest.raises(WebSocketDisconnect) as closed:
                    socket.receive_text()
                assert closed.value.code == 4404  # there is no such job
        for url, offered in ((path, []), (f"{path}?token=no", []), (path, [token])):
            with (
                pytest.raises(WebSocketDenialResponse) as refusal,
                browser.websocket_connect(url, offered),
            ):
                pass
            assert refusal.value.status_code == 401

"""Paths as clients write them, through the whole application."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import httpx
import pytest
from asgi_client import client
from fake_keys import FakeKeys, bearer
from fastapi import FastAPI
from metrics_scrape import Scrape
from structlog.testing import capture_logs

from whisperlive_hybrid.backends.fake import speak
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.server.http.paths import canonicalize_path
from whisperlive_hybrid.types import Samples

pytestmark = pytest.mark.anyio

OpenApp = Callable[..., AbstractAsyncContextManager[tuple[FastAPI, Engine]]]
WriteWav = Callable[[Samples], bytes]

AUDIO = "/v1/audio/transcriptions"
AZURE = "/openai/deployments/{}/audio/{}?api-version=2024-06-01"


@pytest.fixture
def audio(write_wav: WriteWav) -> bytes:
    """The words w1 and w2."""
    return write_wav(speak([1, 2]))


def at(path: str) -> str:
    """The URL of a path that begins with two slashes, which would be a host otherwise."""
    return f"http://server{path}"


@pytest.mark.parametrize(
    ("written", "route"),
    [
        ("/", "/"),
        ("//", "/"),
        ("/v1/audio/transcriptions", AUDIO),
        ("/v1/audio/transcriptions/", AUDIO),
        ("//v1//audio///transcriptions//", AUDIO),
        ("/openai/v1/audio/transcriptions", AUDIO),
        ("/openai/v1//audio/transcriptions/", AUDIO),
        ("/openai/deployments/any%20name/audio/transcriptions", AUDIO),
        ("/openai/deployments/a/audio/translations/", "/v1/audio/translations"),
        ("/openai/models", "/v1/models"),
        ("/openai/v1", "/openai/v1"),
        ("/openai/deployments/a/b/audio/transcriptions", None),
        ("/openai/deployments/a/audio/speech", None),
        ("/openai%2Fv1/models", None),
        ("/v1/models/a%2F%2Fb%2F", None),
    ],
)
def test_each_route_has_one_path(written: str, route: str | None) -> None:
    """None: the path is none of these, and stays as it is, percent-encoding included."""
    path, _ = canonicalize_path(written.encode())
    assert path.decode() == (route or written)


@pytest.mark.parametrize(
    "path", [AUDIO + "/", "//v1//audio/transcriptions/", "/openai/v1/audio/transcriptions"]
)
async def test_a_post_is_answered_without_a_redirect(
    http: httpx.AsyncClient, audio: bytes, path: str
) -> None:
    """Clients would repeat it as GET, or without its body."""
    reply = await http.post(at(path), files={"file": audio})
    assert (reply.status_code, reply.json()["text"]) == (200, "w1 w2")


@pytest.mark.parametrize("path", ["/health/", "//v1/models", "/v1/jobs/", "//", "/openai/models"])
async def test_what_is_read_is_found_too(http: httpx.AsyncClient, path: str) -> None:
    """Base URLs end with a slash or not, and paths begin with one or not."""
    assert (await http.get(at(path))).status_code == 200


async def test_an_older_route_keeps_its_shape(http: httpx.AsyncClient, audio: bytes) -> None:
    """Also for its errors."""
    assert (await http.post(at("//transcribe/"), files={"file": audio})).json()["success"]
    assert (await http.post(at("//transcribe/"))).json()["success"] is False


async def test_an_encoded_slash_belongs_to_a_name(http: httpx.AsyncClient) -> None:
    """It is neither joined with others nor cut off."""
    reply = await http.get(at("/v1/models/a%2F%2Fb%2F"))
    assert reply.status_code == 404
    assert "'a//b/'" in reply.json()["error"]["message"]


@pytest.mark.parametrize("path", [AUDIO, "/v1/audio/translations", "/transcribe", "/v1/jobs"])
async def test_a_query_is_ignored(http: httpx.AsyncClient, audio: bytes, path: str) -> None:
    """Azure's clients name a version there, others a key or a number against caches."""
    url = f"{path}?api-version=2024-06-01&_=1&response_format=srt"
    assert (await http.post(url, files={"file": audio})).status_code in {200, 202}


async def test_a_deployment_stands_for_the_model(http: httpx.AsyncClient, audio: bytes) -> None:
    """Where the form names none; a name that the server does not offer is refused as ever."""

    async def ask(deployment: str, kind: str = "transcriptions", **fields: str) -> httpx.Response:
        return await http.post(AZURE.format(deployment, kind), files={"file": audio}, data=fields)

    assert (await ask("whisper-1")).json()["text"] == "w1 w2"
    assert (await ask("fake", "translations", response_format="text")).text == "w1 w2\n"
    assert (await ask("no%2Fmodel", model="whisper-1")).status_code == 200
    for fields in ({}, {"model": " "}):
        refused = await ask("no%2Fmodel", **fields)
        assert refused.status_code == 404
        assert "'no/model'" in refused.json()["error"]["message"]
    assert "x_groq" not in (await ask("whisper-1")).json()


@pytest.mark.parametrize("response_format", ["json", "verbose_json"])
@pytest.mark.parametrize("kind", ["transcriptions", "translations"])
async def test_groq_marks_its_answers(
    http: httpx.AsyncClient, audio: bytes, kind: str, response_format: str
) -> None:
    """With the id of the request, where its base URL was used and nowhere else."""

    async def ask(base: str) -> httpx.Response:
        form = {"response_format": response_format}
        return await http.post(f"{base}/audio/{kind}", files={"file": audio}, data=form)

    reply = await ask("/openai/v1")
    request_id = reply.headers["x-request-id"]
    assert request_id.startswith("req_")
    assert reply.json() == (await ask("/v1")).json() | {"x_groq": {"id": request_id}}


@pytest.mark.parametrize(
    "path",
    ["//v1//jobs/", "/openai/v1/models", "/openai/models", AZURE.format("x", "translations")],
)
async def test_no_spelling_of_a_path_passes_the_keys_by(open_app: OpenApp, path: str) -> None:
    """What is open without a key is decided on the canonical path too."""
    keys = FakeKeys()
    token = keys.made(1)
    async with open_app(settings={"auth": True}, keys=keys) as (app, _), client(app) as http:
        method = "POST" if "deployments" in path else "GET"
        assert (await http.request(method, at(path))).status_code == 401
        for shown in (bearer(token), {"api-key": token}):
            assert (await http.request(method, at(path), headers=shown)).status_code != 401
        wrong = await http.request(method, at(path), headers={"api-key": "wrong"})
        assert wrong.json()["error"]["code"] == "invalid_api_key"
        assert (await http.get(at("//health//"))).status_code == 200


async def test_a_limit_counts_every_spelling(open_app: OpenApp, audio: bytes) -> None:
    """One caller has one allowance."""
    async with (
        open_app(settings={"requests_per_minute": 1}) as (app, _),
        client(app) as http,
    ):
        await http.post(at("//v1/audio/transcriptions"), files={"file": audio})
        again = await http.post(AZURE.format("whisper-1", "translations"), files={"file": audio})
    assert again.status_code == 429


async def test_metrics_and_log_know_the_route(http: httpx.AsyncClient, audio: bytes) -> None:
    """And nothing that a client has made up, such as the name of a deployment."""
    with capture_logs() as logs:
        for path in ("//v1/audio/transcriptions/", AZURE.format("whisper-1", "transcriptions")):
            await http.post(at(path), files={"file": audio})
    assert {line["route"] for line in logs if line["event"] == "request"} == {AUDIO}
    metrics = Scrape((await http.get("/metrics")).text)
    assert metrics.total("whisperlive_http_requests_total", route=AUDIO) == 2

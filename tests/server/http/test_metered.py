"""Limits of callers over HTTP."""

from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from asgi_client import client
from starlette.types import Message, Receive, Scope, Send

from whisperlive_hybrid.auth.authenticator import Authenticator
from whisperlive_hybrid.auth.caller import Limits
from whisperlive_hybrid.auth.quotas import Quotas
from whisperlive_hybrid.auth.usage import Usage
from whisperlive_hybrid.backends.fake import pause, speak
from whisperlive_hybrid.server.http.auth import AuthMiddleware, RateLimitMiddleware
from whisperlive_hybrid.types import Samples

pytestmark = pytest.mark.anyio

TRANSCRIPTIONS = "/v1/audio/transcriptions"
NOON = 1_764_072_000.0
HALF_A_DAY = "12h0m0s"


@pytest.fixture
def audio(write_wav: Callable[[Samples], bytes]) -> bytes:
    """Three seconds: a word, silence, a word."""
    spoken = np.concatenate([speak([1]), pause(1.0), speak([2])])
    return write_wav(np.concatenate([spoken, np.zeros(48_000 - len(spoken), np.float32)]))


def fault(reply: httpx.Response) -> tuple[object, ...]:
    """The status and what the error object says besides its message."""
    error = reply.json()["error"]
    return reply.status_code, error["type"], error["param"], error["code"]


async def test_one_request_too_many(open_app: Callable[..., Any], audio: bytes) -> None:
    """429 with OpenAI's object, its headers and Retry-After; the response before announced it."""
    async with (
        open_app(settings={"requests_per_minute": 1}) as (app, _),
        client(app) as http,
    ):
        first = await http.post(TRANSCRIPTIONS, files={"file": audio})
        second = await http.post(TRANSCRIPTIONS, files={"file": audio})
    assert first.status_code == 200
    assert first.headers["x-ratelimit-limit-requests"] == "1"
    assert first.headers["x-ratelimit-remaining-requests"] == "0"
    assert first.headers["x-ratelimit-reset-requests"].endswith("s")
    assert fault(second) == (429, "requests", None, "rate_limit_exceeded")
    assert "1 requests per minute" in second.json()["error"]["message"]
    assert 50 <= int(second.headers["retry-after"]) <= 60
    assert second.headers["x-ratelimit-remaining-requests"] == "0"
    assert "x-should-retry" not in second.headers
    assert second.headers["x-request-id"]


async def test_the_older_route_refuses_in_its_own_shape(open_app: Callable[..., Any]) -> None:
    """Its clients read `detail`-like errors of before, and count on the same limits."""
    async with (
        open_app(settings={"requests_per_minute": 1}) as (app, _),
        client(app) as http,
    ):
        await http.post("/transcribe")
        refused = await http.post("/transcribe/url")
    assert refused.status_code == 429
    assert "1 requests per minute" in refused.text
    assert "code" not in refused.text


async def test_looking_is_free(open_app: Callable[..., Any]) -> None:
    """Health, models and jobs can be polled; responses that are not counted have no headers."""
    async with (
        open_app(settings={"requests_per_minute": 1}) as (app, _),
        client(app) as http,
    ):
        for path in ("/health", "/v1/models", "/v1/jobs", "/v1/jobs/job_1", "/openapi.json") * 5:
            reply = await http.get(path)
            assert reply.status_code != 429
            assert "x-ratelimit-limit-requests" not in reply.headers
        for _ in range(5):
            assert (await http.post("/v1/jobs/job_1/cancel")).status_code == 404
        assert (await http.post("/v1/jobs", json={"urls": []})).status_code == 400
        assert (await http.post("/v1/jobs", json={"urls": []})).status_code == 429


async def test_a_new_route_is_bounded_before_anybody_thinks_of_it(
    open_app: Callable[..., Any],
) -> None:
    """Whatever is posted counts, whether there is such a route or not."""
    async with (
        open_app(settings={"requests_per_minute": 1}) as (app, _),
        client(app) as http,
    ):
        assert (await http.post("/v2/dreams")).status_code == 404
        assert (await http.post(TRANSCRIPTIONS)).status_code == 429


async def test_without_limits_nothing_is_told(http: httpx.AsyncClient, audio: bytes) -> None:
    """Clients take such a header for a limit."""
    reply = await http.post(TRANSCRIPTIONS, files={"file": audio})
    assert reply.status_code == 200
    assert not [name for name in reply.headers if name.startswith("x-ratelimit")]


@pytest.mark.parametrize("stream", ["false", "true"])
async def test_a_day_ends_after_the_file_that_goes_beyond_it(
    open_app: Callable[..., Any], audio: bytes, stream: str
) -> None:
    """That file is read to its end, streamed or not; the next is refused until midnight UTC."""
    async with (
        open_app(settings={"audio_s_per_day": 4}) as (app, _),
        client(app) as http,
    ):
        file, fields = {"file": audio}, {"stream": stream}
        replies = [await http.post(TRANSCRIPTIONS, files=file, data=fields) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert "w1" in replies[1].text
    assert "w2" in replies[1].text
    refused = replies[2]
    assert fault(refused) == (429, "requests", None, "rate_limit_exceeded")
    assert "4 seconds of audio per day, and 6.0 were read" in refused.json()["error"]["message"]
    assert 1 <= int(refused.headers["retry-after"]) <= 86_400
    assert refused.headers["x-should-retry"] == "false"
    assert refused.headers["x-ratelimit-limit-audio-seconds"] == "4"
    assert refused.headers["x-ratelimit-remaining-audio-seconds"] == "0"


async def test_what_is_left_of_the_day_is_that_after_the_file(
    open_app: Callable[..., Any], audio: bytes
) -> None:
    """The reply of a file counts it already."""
    async with (
        open_app(settings={"audio_s_per_day": 4}) as (app, _),
        client(app) as http,
    ):
        reply = await http.post(TRANSCRIPTIONS, files={"file": audio})
    assert reply.headers["x-ratelimit-remaining-audio-seconds"] == "1"


async def test_a_file_that_is_no_audio_costs_a_request_and_no_audio(
    open_app: Callable[..., Any],
) -> None:
    """Only what was read is booked."""
    async with (
        open_app(settings={"audio_s_per_day": 4, "requests_per_minute": 10}) as (app, _),
        client(app) as http,
    ):
        reply = await http.post(TRANSCRIPTIONS, files={"file": b"noise"})
    assert reply.status_code == 400
    assert reply.headers["x-ratelimit-remaining-audio-seconds"] == "4"
    assert reply.headers["x-ratelimit-remaining-requests"] == "9"


async def test_behind_a_proxy_each_client_has_its_own(open_app: Callable[..., Any]) -> None:
    """Without the setting they would share one allowance; a subscriber of IPv6 is one client."""
    limited = {"requests_per_minute": 1, "trusted_proxies": "127.0.0.1"}
    asked = [
        ("203.0.113.1", 404),
        ("203.0.113.2", 404),
        ("203.0.113.1", 429),
        ("2001:db8::1", 404),
        ("2001:db8::2", 429),
    ]
    async with open_app(settings=limited) as (app, _), client(app) as http:
        for address, status in asked:
            reply = await http.post("/nowhere", headers={"X-Forwarded-For": address})
            assert reply.status_code == status, address


async def test_it_is_refused_unread() -> None:
    """Nothing is received, so a client that waits for 100 Continue sends nothing."""

    async def app(_: Scope, __: Receive, ___: Send) -> None:
        pytest.fail("the request was passed on")

    async def receive() -> Message:
        pytest.fail("the body was asked for")

    replies: list[Message] = []

    async def send(message: Message) -> None:
        replies.append(message)

    quotas = Quotas(Limits(audio_s_per_day=60.0), lambda: NOON)
    scope: Scope = {
        "type": "http",
        "method": "POST",
        "path": TRANSCRIPTIONS,
        "headers": [(b"content-length", b"90000000")],
        "client": ("192.0.2.1", 4711),
    }
    here = AuthMiddleware(RateLimitMiddleware(app, quotas), Authenticator())
    with pytest.raises(pytest.fail.Exception, match="passed on"):
        await here(scope, receive, send)
    quotas.add(scope["state"]["caller"].account, Usage(file_s=60.0))
    await here(scope, receive, send)
    headers = dict(replies[0]["headers"])
    assert replies[0]["status"] == 429
    assert headers[b"x-ratelimit-reset-audio-seconds"] == HALF_A_DAY.encode()
    assert headers[b"retry-after"] == b"43200"


def test_openai_client_sees_a_rate_limit(serve: Callable[..., Any], audio: bytes) -> None:
    """Its own exception, with our message, code and headers, while it sends 900 kB to no avail."""
    with (
        serve(settings={"requests_per_minute": 1}) as address,
        openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as user,
    ):
        raw = user.audio.transcriptions.with_raw_response.create(file=audio, model="whisper-1")
        assert raw.headers["x-ratelimit-remaining-requests"] == "0"
        with pytest.raises(openai.RateLimitError, match="1 requests per minute") as refused:
            user.audio.transcriptions.create(file=bytes(900_000), model="whisper-1")
    assert refused.value.code == "rate_limit_exceeded"
    assert refused.value.type == "requests"
    assert refused.value.response.headers["x-ratelimit-limit-requests"] == "1"


def test_openai_client_does_not_repeat_what_only_midnight_helps(
    serve: Callable[..., Any], audio: bytes
) -> None:
    """With its two retries as they come: it gives up at once, and sends the file no more."""
    with (
        serve(settings={"audio_s_per_day": 1, "requests_per_minute": 10}) as address,
        openai.OpenAI(base_url=f"{address}/v1", api_key="none") as user,
    ):
        user.audio.transcriptions.create(file=audio, model="whisper-1")
        with pytest.raises(openai.RateLimitError, match="Daily limit") as refused:
            user.audio.transcriptions.create(file=audio, model="whisper-1")
    assert refused.value.response.request.headers["x-stainless-retry-count"] == "0"

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
import structlog
from asgi_client import client
from fastapi import FastAPI

from whisperlive_hybrid.backends.fake import FakeBackend, speak
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.model_pool import ModelSpec
from whisperlive_hybrid.types import Samples

pytestmark = pytest.mark.anyio

OpenApp = Callable[..., AbstractAsyncContextManager[tuple[FastAPI, Engine]]]

HEADER = "x-whisperlive-model"


def small() -> ModelSpec:
    """A second model."""
    return ModelSpec("small", 10, lambda: FakeBackend(name="small"))


@pytest.mark.parametrize(
    ("asked", "answers"),
    [(None, "fake"), ("base", "fake"), ("whisper-1", "fake"), ("openai/whisper-small", "small")],
)
async def test_every_answer_says_which_model_it_was(
    open_app: OpenApp, write_wav: Callable[[Samples], bytes], asked: str | None, answers: str
) -> None:
    """In a header, in `info.model` of the older answer, and in the log."""
    file = {"file": ("a.wav", write_wav(speak([1, 2])))}
    form = {} if asked is None else {"model": asked}
    async with open_app(others=[small()]) as (app, _), client(app) as http:
        for path in ("/v1/audio/transcriptions", "/v1/audio/translations", "/transcribe"):
            with structlog.testing.capture_logs() as lines:
                reply = await http.post(path, files=file, data=form)
            assert (reply.status_code, reply.headers[HEADER]) == (200, answers)
            assert [line["model"] for line in lines if line["event"] == "request"] == [answers]
        assert reply.json()["info"]["model"] == answers
        stream = await http.post(
            "/v1/audio/transcriptions", files=file, data={**form, "stream": "true"}
        )
        assert (stream.status_code, stream.headers[HEADER]) == (200, answers)


async def test_a_name_in_the_header_is_ascii(
    open_app: OpenApp, write_wav: Callable[[Samples], bytes]
) -> None:
    """A directory of a model may be called anything."""
    backend, file = FakeBackend(name="größe"), {"file": ("a.wav", write_wav(speak([1])))}
    async with open_app(backend) as (app, _), client(app) as http:
        reply = await http.post("/transcribe", files=file)
        assert (reply.status_code, reply.headers[HEADER]) == (200, "gr%C3%B6%C3%9Fe")


async def test_a_strict_server_refuses_known_models_that_it_does_not_serve(
    open_app: OpenApp, write_wav: Callable[[Samples], bytes]
) -> None:
    """WHISPERLIVE_STRICT_MODELS: 404 in OpenAI's shape."""
    file = {"file": ("a.wav", write_wav(speak([1])))}
    async with open_app(settings={"strict_models": True}) as (app, _), client(app) as http:
        reply = await http.post("/v1/audio/transcriptions", files=file, data={"model": "base"})
        assert reply.status_code == 404
        assert json.loads(reply.text)["error"]["code"] == "model_not_found"


async def test_the_list_holds_what_is_really_served(open_app: OpenApp) -> None:
    """And every name that a request may use can be looked up."""
    async with open_app(others=[small()]) as (app, _), client(app) as http:
        listed = (await http.get("/v1/models")).json()["data"]
        assert [card["id"] for card in listed] == ["fake", "small"]
        for name in ("small", "whisper-1", "Systran/faster-whisper-large-v3"):
            assert (await http.get(f"/v1/models/{name}")).json()["id"] == name
        assert (await http.get("/v1/models/llama")).status_code == 404

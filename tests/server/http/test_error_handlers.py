"""The error table of the OpenAI audio API, row by row, through the whole server."""

import json
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, BinaryIO

import anyio
import anyio.to_thread
import httpx
import pytest
from asgi_client import client
from fastapi import FastAPI

from whisperlive_hybrid.backends.base import Generate
from whisperlive_hybrid.backends.fake import FakeBackend, Trouble, pause, speak
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.types import Hypothesis, Samples

pytestmark = pytest.mark.anyio

OpenApp = Callable[..., AbstractAsyncContextManager[tuple[FastAPI, Engine]]]
WriteWav = Callable[[Samples], bytes]
Fields = dict[str, Any]

TRANSCRIPTIONS = "/v1/audio/transcriptions"
TRANSLATIONS = "/v1/audio/translations"
INVALID = "invalid_request_error"
HEAD = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
TEXT = {"content-type": "text/plain;charset=UTF-8"}
MULTIPART = {"content-type": "multipart/form-data; boundary=x"}


@pytest.fixture
def audio(write_wav: WriteWav) -> bytes:
    """One word."""
    return write_wav(speak([1]))


def fault(reply: httpx.Response) -> tuple[int, str, str | None, str | None]:
    """Status, type, param and code of a refusal: four keys, an id, JSON, and no `detail`."""
    body = reply.json()
    assert "detail" not in body
    assert list(body["error"]) == ["message", "type", "param", "code"]
    assert body["error"]["message"]
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-request-id"].startswith("req_")
    error = body["error"]
    return reply.status_code, error["type"], error["param"], error["code"]


@pytest.mark.parametrize(
    ("fields", "row"),
    [
        ({"model": "enormous"}, (404, INVALID, None, "model_not_found")),
        ({"response_format": "docx"}, (400, INVALID, "response_format", "invalid_value")),
        (
            {"response_format": "diarized_json"},
            (400, INVALID, "response_format", "unsupported_value"),
        ),
        ({"temperature": "1.5"}, (400, INVALID, "temperature", "invalid_value")),
        ({"temperature": "warm"}, (400, INVALID, "temperature", "invalid_value")),
        ({"language": "klingon"}, (400, INVALID, "language", "invalid_value")),
        ({"language": "fr"}, (400, INVALID, "language", "unsupported_value")),
        ({"colour": "red"}, (400, INVALID, "colour", "unknown_parameter")),
        ({"model": ["fake", "fake"]}, (400, INVALID, "model", "invalid_value")),
    ],
)
@pytest.mark.parametrize("path", [TRANSCRIPTIONS, TRANSLATIONS])
async def test_fields_of_both_routes(
    http: httpx.AsyncClient, audio: bytes, path: str, fields: Fields, row: tuple[object, ...]
) -> None:
    """A program can branch on every part of the answer."""
    reply = await http.post(path, files={"file": audio}, data=fields)
    assert fault(reply) == row


@pytest.mark.parametrize(
    ("fields", "row"),
    [
        (
            {"response_format": "verbose_json", "timestamp_granularities[]": "letter"},
            (400, INVALID, "timestamp_granularities", "invalid_value"),
        ),
        (
            {"response_format": "json", "timestamp_granularities[]": "letter"},
            (400, INVALID, "timestamp_granularities", "invalid_value"),
        ),
        (
            {"response_format": "verbose_json", "include[]": "logprobs"},
            (400, INVALID, "include", "unsupported_value"),
        ),
        ({"include[]": "everything"}, (400, INVALID, "include", "invalid_value")),
        ({"stream": "perhaps"}, (400, INVALID, "stream", "invalid_value")),
        (
            {"known_speaker_names[]": "Ann"},
            (400, INVALID, "known_speaker_names", "unsupported_value"),
        ),
        (
            {"chunking_strategy": "manual"},
            (400, INVALID, "chunking_strategy", "invalid_value"),
        ),
        (
            {"language": "en", "languages[]": "de"},
            (400, INVALID, "languages", "invalid_value"),
        ),
        ({"model": "gpt-4o-transcribe-diarize"}, (404, INVALID, None, "model_not_found")),
    ],
)
async def test_fields_of_transcriptions(
    http: httpx.AsyncClient, audio: bytes, fields: Fields, row: tuple[object, ...]
) -> None:
    """What does not fit together is named too."""
    reply = await http.post(TRANSCRIPTIONS, files={"file": audio}, data=fields)
    assert fault(reply) == row


async def test_a_translation_cannot_be_streamed(http: httpx.AsyncClient, audio: bytes) -> None:
    """OpenAI's route has no such field, so it is unknown, and the known ones are listed."""
    reply = await http.post(TRANSLATIONS, files={"file": audio}, data={"stream": "true"})
    assert fault(reply) == (400, INVALID, "stream", "unknown_parameter")
    assert "the fields are: file, model" in reply.text


@pytest.mark.parametrize("name", ["Audio", "file[]"])
async def test_a_file_of_another_name_is_named(http: httpx.AsyncClient, name: str) -> None:
    """OpenAI's words would leave one looking for a file that was sent."""
    reply = await http.post(TRANSCRIPTIONS, files={name: b"x"})
    assert fault(reply) == (400, INVALID, name, "unknown_parameter")
    assert reply.json()["error"]["message"] == f"A file was sent as {name!r}; send it as 'file'."


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ({"json": {"model": "fake"}}, "must be multipart/form-data"),
        ({"content": b"RIFF"}, "must be multipart/form-data"),
        ({"content": b"[object FormData]", "headers": TEXT}, "npm package form-data"),
        ({"content": b"[object Blob]", "headers": TEXT}, "must be multipart/form-data"),
        ({"content": b"", "headers": TEXT}, "must be multipart/form-data"),
        ({"data": {"model": "fake"}}, "body -> file: file field required"),
        ({"data": {"file": "a.wav"}}, "Expected UploadFile, received: str"),
        ({"files": {"file": (None, "a.wav")}}, "Expected UploadFile, received: str"),
        ({"content": HEAD + b"audi", "headers": MULTIPART}, "The upload was cut off"),
        ({"content": HEAD + b"audio\r\n--x-", "headers": MULTIPART}, "The upload was cut off"),
        ({"content": b"", "headers": MULTIPART}, "The upload was cut off"),
    ],
)
async def test_files_that_are_missing_or_in_part(
    http: httpx.AsyncClient, sent: Fields, message: str
) -> None:
    """With OpenAI's words where it has any."""
    reply = await http.post(TRANSCRIPTIONS, **sent)
    assert fault(reply) == (400, INVALID, None, None)
    assert message in reply.json()["error"]["message"]


@pytest.mark.parametrize("path", [TRANSCRIPTIONS, TRANSLATIONS])
async def test_files_that_are_no_audio(
    http: httpx.AsyncClient, write_wav: WriteWav, path: str
) -> None:
    """Undecodable, and too short."""
    reply = await http.post(path, files={"file": ("a.wav", b"MZ", "audio/wav")})
    assert fault(reply)[:2] == (400, INVALID)
    assert "could not be decoded" in reply.text
    reply = await http.post(path, files={"file": write_wav(pause(0.09))})
    assert fault(reply) == (400, INVALID, "file", "audio_too_short")
    assert "Minimum audio length is 0.1 seconds." in reply.text


@pytest.mark.parametrize("fields", [{}, {"stream": "true"}])
async def test_too_large(http: httpx.AsyncClient, fields: dict[str, str]) -> None:
    """OpenAI's odd one out: a server_error with a usage beside it."""
    reply = await http.post(TRANSCRIPTIONS, files={"file": bytes(1024 * 1024)}, data=fields)
    assert fault(reply) == (413, "server_error", None, None)
    assert reply.json()["usage"] == {"type": "duration", "seconds": 0}
    assert "Maximum content size limit (1048576) exceeded" in reply.text


class Held(FakeBackend):
    """Generates nothing until the gate opens."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.gate = threading.Event()

    def generate(self, batch: Sequence[Generate]) -> list[Hypothesis | Exception]:
        """Wait at the gate."""
        self.entered.set()
        self.gate.wait()
        return super().generate(batch)


@pytest.mark.parametrize("limits", [{"queue_limit": 1}, {"max_uploads": 1}])
@pytest.mark.parametrize("path", [TRANSCRIPTIONS, TRANSLATIONS, "/transcribe"])
async def test_overload(open_app: OpenApp, audio: bytes, path: str, limits: dict[str, int]) -> None:
    """429 with whole seconds; the same upload is read once there is room."""
    backend = Held()
    async with open_app(backend, **limits) as (app, _), client(app) as http:

        async def upload() -> httpx.Response:
            return await http.post(path, files={"file": audio})

        async with anyio.create_task_group() as tasks:
            try:
                tasks.start_soon(upload)
                await anyio.to_thread.run_sync(backend.entered.wait)
                refused = await upload()
            finally:
                backend.gate.set()
        assert refused.status_code == 429
        assert refused.headers["retry-after"].isdecimal()
        assert int(refused.headers["retry-after"]) >= 1
        if path != "/transcribe":
            assert fault(refused) == (429, "requests", None, "rate_limit_exceeded")
        assert (await upload()).status_code == 200


@pytest.mark.parametrize("fields", [{}, {"stream": "true"}])
async def test_draining(open_app: OpenApp, audio: bytes, fields: dict[str, str]) -> None:
    """503 with the time after which another instance will be there."""
    async with open_app() as (app, engine), client(app) as http:
        await engine.drain(0)
        reply = await http.post(TRANSCRIPTIONS, files={"file": audio}, data=fields)
    assert fault(reply) == (503, "server_error", None, "server_draining")
    assert reply.headers["retry-after"] == "30"


async def test_our_own_failures(open_app: OpenApp, write_wav: WriteWav) -> None:
    """SDKs may retry after a failed model, not after a bug; neither message has details."""

    def media(_: BinaryIO, /, **_options: object) -> Any:  # noqa: ANN401 (never returns)
        raise FileNotFoundError("/etc/secret")

    async with open_app() as (app, _), client(app) as http:
        audio = write_wav(speak([Trouble.ITEM_FAILS]))
        reply = await http.post(TRANSCRIPTIONS, files={"file": audio})
        assert fault(reply) == (500, "server_error", None, None)
        assert "x-should-retry" not in reply.headers
    async with open_app(media=media) as (app, _), client(app) as http:
        reply = await http.post(TRANSCRIPTIONS, files={"file": b"x"})
        assert fault(reply) == (500, "server_error", None, None)
        assert reply.headers["x-should-retry"] == "false"
        assert "secret" not in reply.text


async def test_paths_methods_and_parameters(open_app: OpenApp) -> None:
    """What the web framework refuses by itself has the same shape; it knows no 422."""
    async with open_app() as (app, _), client(app) as http:

        async def probe(number: int) -> int:
            return number

        app.get("/probe")(probe)
        assert fault(await http.get("/v1/audio/speech")) == (404, INVALID, None, None)
        assert fault(await http.delete(TRANSCRIPTIONS)) == (405, INVALID, None, None)
        assert fault(await http.get("/probe?number=many")) == (400, INVALID, "number", None)
        assert (await http.get("/probe?number=7")).text == "7"


async def test_a_charset_that_reads_nothing(http: httpx.AsyncClient, audio: bytes) -> None:
    """Python knows codecs that raise on any text; a client that names one made the fault."""
    field = b'\r\n--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nfake\r\n--x--\r\n'
    headers = {"content-type": "multipart/form-data; boundary=x; charset=undefined"}
    reply = await http.post(TRANSCRIPTIONS, content=HEAD + audio + field, headers=headers)
    assert fault(reply) == (400, INVALID, None, None)
    assert json.loads(reply.text)["error"]["message"].startswith("The form's fields cannot be read")

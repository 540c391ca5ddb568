import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any, BinaryIO

import anyio
import anyio.to_thread
import httpx
import pytest
from asgi_client import client
from fastapi import FastAPI
from starlette.types import Message, Scope

from whisperlive_hybrid.backends.base import Encode, Encoded
from whisperlive_hybrid.backends.fake import FakeBackend, pause, speak
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.types import Samples, Urgency

pytestmark = pytest.mark.anyio

OpenApp = Callable[..., AbstractAsyncContextManager[tuple[FastAPI, Engine]]]
WriteWav = Callable[[Samples], bytes]
Fields = dict[str, Any]

TRANSCRIPTIONS = "/v1/audio/transcriptions"


@pytest.fixture
def audio(write_wav: WriteWav) -> bytes:
    """The words w1 to w3."""
    return write_wav(speak([1, 2, 3]))


def fault(reply: httpx.Response) -> tuple[int, Any, Any]:
    """Status, param and code of a refusal that has OpenAI's four keys and nothing else."""
    assert list(reply.json()) == ["error"]
    error = reply.json()["error"]
    assert list(error) == ["message", "type", "param", "code"]
    return reply.status_code, error["param"], error["code"]


class GatedBackend(FakeBackend):
    """Encodes nothing until the gate opens."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.gate = threading.Event()

    def encode(self, batch: Sequence[Encode]) -> list[Encoded | Exception]:
        """Wait at the gate."""
        self.entered.set()
        self.gate.wait()
        return super().encode(batch)


@asynccontextmanager
async def gated(
    open_app: OpenApp, **options: object
) -> AsyncIterator[tuple[FastAPI, Engine, GatedBackend]]:
    """A server whose backend holds everything back; the gate opens before the engine stops."""
    backend = GatedBackend()
    async with open_app(backend, **options) as (app, engine):
        try:
            yield app, engine, backend
        finally:
            backend.gate.set()


# Responses


async def test_health_tells_model_and_load(http: httpx.AsyncClient) -> None:
    """With the note that people must know about the model."""
    body = (await http.get("/health")).json()
    assert body.pop("version")
    assert body == {
        "status": "healthy",
        "service": "WhisperLive Hybrid Server",
        "model": {
            "name": "fake",
            "note": "The fake backend reads amplitudes, not speech; it is for tests.",
        },
        "models_in_memory": ["fake"],
        "backend": "fake",
        "device": "cpu",
        "compute_type": "none",
        "queue_depth": 0,
        "live_clients": 3,
    }


async def test_the_index_names_routes_that_exist(http: httpx.AsyncClient) -> None:
    """Every endpoint that it lists answers to its method."""
    listed = (await http.get("/")).json()["endpoints"]
    for method, path in (endpoint.split() for endpoint in listed):
        assert (await http.request(method, path)).status_code not in (404, 405)


async def test_forms_are_described_by_the_tables_that_read_them(http: httpx.AsyncClient) -> None:
    """The OpenAPI document knows every field of a form."""
    paths = (await http.get("/openapi.json")).json()["paths"]
    content = paths[TRANSCRIPTIONS]["post"]["requestBody"]["content"]
    schema = content["multipart/form-data"]["schema"]
    assert schema["required"] == ["file"]
    assert {"file", "model", "prompt", "timestamp_granularities[]"} <= set(schema["properties"])


async def test_models_are_listed_and_found(http: httpx.AsyncClient) -> None:
    """What is listed can be retrieved; other names, also with slashes, are not found."""
    for card in (await http.get("/v1/models")).json()["data"]:
        assert (await http.get(f"/v1/models/{card['id']}")).json() == card
    missing = await http.get("/v1/models/someone/some-model")
    assert fault(missing) == (404, None, "model_not_found")


async def test_json_is_the_default(http: httpx.AsyncClient, audio: bytes) -> None:
    """A file alone is enough."""
    reply = await http.post(TRANSCRIPTIONS, files={"file": audio})
    assert reply.headers["content-type"] == "application/json"
    assert reply.json() == {"text": "w1 w2 w3", "usage": {"type": "duration", "seconds": 2}}


@pytest.mark.parametrize("written", ["auto", "AUTO"])
async def test_auto_detects_the_language(
    http: httpx.AsyncClient, audio: bytes, written: str
) -> None:
    """On every route, in forms and in JSON."""
    form = {"language": written}
    for path in (TRANSCRIPTIONS, "/v1/audio/translations"):
        made = await http.post(path, files={"file": audio}, data=form)
        assert made.json()["text"] == "w1 w2 w3"
    among = await http.post(TRANSCRIPTIONS, files={"file": audio}, data={"languages[]": written})
    assert among.json()["languages"] == [{"code": "en"}]
    made = await http.post("/transcribe", files={"file": audio}, data=form)
    assert made.json()["info"]["language"] == "en"
    nowhere = {"url": "http://127.0.0.1:9/talk.wav"}
    assert "language" not in (await http.post("/transcribe/url", json=nowhere | form)).text
    request = {"url": "https://example/gone", "languages": [written]}
    assert (await http.post("/v1/jobs", json=request | form)).status_code == 202


@pytest.mark.parametrize("response_format", ["text", "srt", "vtt"])
async def test_text_is_plain(http: httpx.AsyncClient, audio: bytes, response_format: str) -> None:
    """All three as text/plain, which is what OpenAI sends and SDKs expect."""
    form = {"response_format": response_format}
    reply = await http.post(TRANSCRIPTIONS, files={"file": audio}, data=form)
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert "w1 w2 w3\n" in reply.text


async def test_subtitles_are_cut_as_asked_for(http: httpx.AsyncClient, audio: bytes) -> None:
    """By the times of their words; what makes no sense is refused by name."""
    form = {"response_format": "srt", "max_words_per_line": "2"}
    reply = await http.post(TRANSCRIPTIONS, files={"file": audio}, data=form)
    cues = [cue.split("\n") for cue in reply.text.strip().split("\n\n")]
    assert [lines[2:] for lines in cues] == [["w1 w2"], ["w3"]]
    [first, second] = [lines[1].split(" --> ") for lines in cues]
    assert first[0] < first[1] <= second[0] < second[1]
    form["highlight_words"] = "true"
    reply = await http.post(TRANSCRIPTIONS, files={"file": audio}, data=form)
    assert "<u>w1</u> w2\n" in reply.text
    refused = await http.post(TRANSCRIPTIONS, files={"file": audio}, data={"max_line_width": "9"})
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "max_line_width"


async def test_fields_may_follow_the_file(http: httpx.AsyncClient, audio: bytes) -> None:
    """OpenAI's Node client sends the file first and announces no length."""

    async def body() -> AsyncIterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + audio
        yield b'\r\n--x\r\nContent-Disposition: form-data; name="response_format"\r\n\r\ntext\r\n'
        yield b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--x--\r\n'

    headers = {"content-type": "multipart/form-data; boundary=x"}
    reply = await http.post(TRANSCRIPTIONS, content=body(), headers=headers)
    assert reply.text == "w1 w2 w3\n"


async def test_the_older_request(http: httpx.AsyncClient, audio: bytes) -> None:
    """POST /transcribe answers with the body documented for it."""
    form = {"language": "de", "task": "translate", "model": "fake"}
    reply = await http.post("/transcribe", files={"file": ("talk.wav", audio)}, data=form)
    body = reply.json()
    assert list(body) == ["success", "segments", "info", "filename"]
    assert [segment["text"] for segment in body["segments"]] == ["w1 w2 w3"]
    assert (body["info"]["language"], body["info"]["duration"]) == ("de", 1.08)
    assert body["info"]["transcription_options"]["task"] == "translate"
    assert body["filename"] == "talk.wav"


@pytest.mark.parametrize(
    ("claimed", "urgency"),
    [(60.0, Urgency.SHORT_FILE), (60.1, Urgency.BULK), (None, Urgency.SHORT_FILE)],
)
async def test_long_files_are_bulk(
    open_app: OpenApp, claimed: float | None, urgency: Urgency
) -> None:
    """The claimed length decides; without one the size, as for what a browser records."""

    class Claims:
        duration_s = claimed

        def blocks(self) -> Iterator[Samples]:
            yield speak([1])

    @contextmanager
    def media(_: BinaryIO, /, **_options: object) -> Iterator[Claims]:
        yield Claims()

    async with (
        gated(open_app, media=media) as (app, engine, backend),
        client(app) as http,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(post_file, http)
        await anyio.to_thread.run_sync(backend.entered.wait)
        seen = [call.step.item.urgency for call in engine._calls.values()]
        backend.gate.set()
    assert seen == [urgency]


async def post_file(http: httpx.AsyncClient, audio: bytes = b"audio") -> httpx.Response:
    """Upload a file and nothing else."""
    return await http.post(TRANSCRIPTIONS, files={"file": audio})


# Refusals


@pytest.mark.parametrize(
    ("request_body", "message"),
    [
        ({"data": {"model": "fake"}}, "file field required"),
        ({"data": {"file": "talk.wav"}}, "Expected UploadFile, received: str"),
        ({"files": {"audio": b"x"}}, "A file was sent as 'audio'"),
        ({"files": [("file", b"x"), ("file", b"y")]}, "exactly one file"),
        ({"files": [("file", b"x"), ("other", b"y")]}, "exactly one file"),
        ({"files": [("file", b"x")] * 3}, "Too many files"),
        ({"json": {"file": "x"}}, "must be multipart/form-data"),
        ({"content": b"RIFF"}, "must be multipart/form-data"),
        (
            {"content": b"x", "headers": {"content-type": "multipart/form-data"}},
            "Missing boundary",
        ),
        (
            {"content": b"x", "headers": {"content-type": "multipart/form-data; boundary=y"}},
            "Invalid multipart data",
        ),
        ({"files": {"file": b"x"}, "data": {"prompt": "x" * 70_000}}, "exceeded maximum size"),
    ],
)
@pytest.mark.parametrize("path", [TRANSCRIPTIONS, "/v1/audio/translations", "/transcribe"])
async def test_forms_that_hold_no_single_file(
    http: httpx.AsyncClient, path: str, request_body: Fields, message: str
) -> None:
    """All of them are the client's fault and say what was expected, each in the path's shape."""
    reply = await http.post(path, **request_body)
    if path == "/transcribe":
        assert (reply.status_code, list(reply.json())) == (400, ["success", "error"])
    else:
        assert fault(reply)[0] == 400
    assert message in reply.text


async def test_bytes_that_are_no_audio(http: httpx.AsyncClient) -> None:
    """The name and the type that a client gives are not believed."""
    reply = await http.post(TRANSCRIPTIONS, files={"file": ("a.wav", b"MZ...", "audio/wav")})
    assert fault(reply) == (400, None, None)
    assert "could not be decoded" in reply.text


async def test_audio_of_less_than_a_tenth_of_a_second(
    http: httpx.AsyncClient, write_wav: WriteWav
) -> None:
    """Refused as OpenAI refuses it; a tenth itself is enough."""
    assert fault(await post_file(http, write_wav(pause(0.09)))) == (400, "file", "audio_too_short")
    assert (await post_file(http, write_wav(pause(0.1)))).json()["text"] == ""


async def test_paths_and_methods_that_do_not_exist(http: httpx.AsyncClient) -> None:
    """Even these have the body of the API, and 405 says what is allowed."""
    assert fault(await http.post("/v1/audio/speech")) == (404, None, None)
    wrong = await http.get(TRANSCRIPTIONS)
    assert fault(wrong) == (405, None, None)
    assert wrong.headers["allow"] == "POST"
    assert (await http.get("/transcribe")).json() == {
        "success": False,
        "error": "Not allowed to GET on /transcribe.",
    }


async def test_wishes_are_refused_before_the_file_is_opened(http: httpx.AsyncClient) -> None:
    """Nothing is decoded for a request that must fail: its fault wins over that of the audio."""
    form = {"language": "fr"}
    reply = await http.post(TRANSCRIPTIONS, files={"file": b"no audio"}, data=form)
    assert fault(reply) == (400, "language", "unsupported_value")


async def chunks(body: bytes) -> AsyncIterator[bytes]:
    """Send a body without announcing its length."""
    for first in range(0, len(body), 65_536):
        yield body[first : first + 65_536]


async def test_an_upload_that_is_too_large(http: httpx.AsyncClient) -> None:
    """413 with OpenAI's body, whether the length is announced or not."""
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    body = head + bytes(1024 * 1024)
    headers = {"content-type": "multipart/form-data; boundary=x"}
    for content in (body, chunks(body)):
        reply = await http.post(TRANSCRIPTIONS, content=content, headers=headers)
        assert reply.status_code == 413
        assert reply.json()["error"]["type"] == "server_error"
        assert reply.json()["usage"] == {"type": "duration", "seconds": 0}
    older = await http.post("/transcribe", content=body, headers=headers)
    assert (older.status_code, older.json()["success"]) == (413, False)


# Failures of the server


@pytest.mark.parametrize("path", [TRANSCRIPTIONS, "/transcribe"])
async def test_a_defect_shows_nothing(open_app: OpenApp, path: str) -> None:
    """No stack and no path in the body, no retry, and still an id to find it in the log."""

    def media(_: BinaryIO, /, **_options: object) -> Any:  # noqa: ANN401 (never returns)
        raise FileNotFoundError("/etc/secret")

    async with open_app(media=media) as (app, _), client(app) as http:
        reply = await http.post(path, files={"file": b"x"})
    assert reply.status_code == 500
    assert "secret" not in reply.text
    assert reply.headers["x-should-retry"] == "false"
    assert re.fullmatch("req_[0-9a-f]{32}", reply.headers["x-request-id"])


async def test_a_defect_reaches_the_servers_log(open_app: OpenApp) -> None:
    """The reply hides it, the ASGI server still gets the exception."""

    def media(_: BinaryIO, /, **_options: object) -> Any:  # noqa: ANN401 (never returns)
        raise FileNotFoundError("/etc/secret")

    async with open_app(media=media) as (app, _):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as http:
            with pytest.raises(FileNotFoundError):
                await post_file(http)


@pytest.mark.parametrize("path", ["/", "/health", "/v1/models", "/v1/nothing", TRANSCRIPTIONS])
async def test_every_reply_has_an_id(http: httpx.AsyncClient, path: str) -> None:
    """Refusals too."""
    assert "x-request-id" in (await http.get(path)).headers


# Clients that hang up


def upload_scope() -> Scope:
    """What an ASGI server says of a file upload."""
    headers = [(b"content-type", b"multipart/form-data; boundary=x")]
    return {
        "type": "http",
        "method": "POST",
        "path": TRANSCRIPTIONS,
        "query_string": b"",
        "headers": headers,
    }


async def test_work_ends_when_its_client_has_gone(open_app: OpenApp, write_wav: WriteWav) -> None:
    """The windows of a recording leave the queue at once when its client disconnects."""
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    body = head + write_wav(speak([1])) + b"\r\n--x--\r\n"
    arriving: Iterator[Message] = iter([{"type": "http.request", "body": body}])
    messages: list[Message] = []

    async with gated(open_app) as (app, engine, backend):

        async def receive() -> Message:
            if message := next(arriving, None):
                return message
            await anyio.to_thread.run_sync(backend.entered.wait)
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            messages.append(message)

        await app(upload_scope(), receive, send)
        assert engine.queue_depth == 0
        assert not backend.gate.is_set()
    assert messages[0]["status"] == 499


async def test_a_client_that_leaves_while_uploading(open_app: OpenApp) -> None:
    """It is no defect of ours, so nothing is raised into the log."""
    messages: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        messages.append(message)

    async with open_app() as (app, _):
        await app(upload_scope(), receive, send)
    assert messages[0]["status"] == 499

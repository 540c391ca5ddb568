"""POST /transcribe/url: a recording that lies elsewhere, on a server of the tests."""

import tempfile
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import IO, Any

import anyio
import anyio.to_thread
import httpx
import pytest
from anyio.abc import ByteStream
from fake_web_server import Answer, FakeWebServer, answer, serve_answers
from fastapi import FastAPI
from gated_backend import GatedBackend
from starlette.types import Message, Scope

from whisperlive_hybrid.backends.fake import speak
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.server.http.forms import MAX_JSON_BYTES
from whisperlive_hybrid.types import Samples

pytestmark = pytest.mark.anyio

OpenApp = Callable[..., AbstractAsyncContextManager[tuple[FastAPI, Engine]]]
WriteWav = Callable[[Samples], bytes]

PATH = "/transcribe/url"


@pytest.fixture
def audio(write_wav: WriteWav) -> bytes:
    """The words w1 to w3."""
    return write_wav(speak([1, 2, 3]))


@pytest.fixture(autouse=True)
def files(monkeypatch: pytest.MonkeyPatch) -> list[IO[bytes]]:
    """The temporary files of downloads, as they are made."""
    made: list[IO[bytes]] = []

    def temporary_file() -> IO[bytes]:
        made.append(original())
        return made[-1]

    original = tempfile.TemporaryFile
    monkeypatch.setattr(tempfile, "TemporaryFile", temporary_file)
    return made


def url_of(remote: FakeWebServer, path: str = "/talk.wav") -> str:
    """Where the server of the test keeps something."""
    return f"http://127.0.0.1:{remote.port}{path}"


async def test_the_answer_is_that_of_the_upload(http: httpx.AsyncClient, audio: bytes) -> None:
    """Key by key; as JSON and as both kinds of form, with the same options."""
    options = {"language": "de", "task": "translate", "model": "fake"}
    uploaded = await http.post("/transcribe", files={"file": ("talk.wav", audio)}, data=options)
    assert uploaded.json()["success"] is True
    async with serve_answers({"/talk.wav": answer(audio)}) as remote:
        fields = {"url": url_of(remote), **options}
        for reply in (
            await http.post(PATH, json=fields),
            await http.post(PATH, data=fields),
            await http.post(PATH, files={name: (None, value) for name, value in fields.items()}),
        ):
            assert reply.json() == uploaded.json()


async def test_the_file_is_named_by_its_server(http: httpx.AsyncClient, audio: bytes) -> None:
    """And read as what it is."""
    named = answer(audio, content_disposition="attachment; filename=call.wav")
    async with serve_answers({"/x": named}) as remote:
        body = (await http.post(PATH, json={"url": url_of(remote, "/x")})).json()
    assert body["filename"] == "call.wav"
    assert [segment["text"] for segment in body["segments"]] == ["w1 w2 w3"]


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({"url": "http://10.0.0.1/"}, 400, "10.0.0.1 may not be reached"),
        ({"url": "http://[::1]:5050/"}, 400, "::1 may not be reached"),
        ({"url": "ftp://media.example/"}, 400, "must begin with http"),
        ({"url": " "}, 400, "Give the URL of the recording in the field 'url'."),
        ({}, 400, "Give the URL of the recording in the field 'url'."),
        ({"url": "http://10.0.0.1/", "task": "sing"}, 400, "'sing'"),
        ({"url": "http://10.0.0.1/", "model": "huge"}, 404, "'huge'"),
        ({"url": "x", "file": "y"}, 400, "'file'; the fields are: url, language, task, model"),
        ({"url": 7}, 400, "'url' must be a string"),
        ({"url": "x" * MAX_JSON_BYTES}, 413, "at most 65536 bytes"),
    ],
)
async def test_refusals_have_the_older_shape(
    http: httpx.AsyncClient,
    files: list[IO[bytes]],
    fields: dict[str, Any],
    status: int,
    message: str,
) -> None:
    """Success is false, with a message; fields are parsed before anything is fetched."""
    reply = await http.post(PATH, json=fields)
    assert reply.status_code == status
    assert list(reply.json()) == ["success", "error"]
    assert reply.json()["success"] is False
    assert message in reply.json()["error"]
    assert all(file.closed for file in files)


@pytest.mark.parametrize(
    ("answered", "status", "message"),
    [
        (answer(b"", "404 Not Found"), 400, "answered 404 Not Found."),
        (answer(b"", "503 Service Unavailable"), 400, "answered 503 Service Unavailable."),
        (answer(length=2 << 20), 413, "2097152 bytes declared by 127.0.0.1"),
        (answer(b"no sound"), 400, "could not be decoded"),
    ],
)
async def test_failures_of_the_other_server_are_no_reason_to_repeat(
    http: httpx.AsyncClient, files: list[IO[bytes]], answered: Answer, status: int, message: str
) -> None:
    """The URL was the client's choice: never a 5xx, and nothing is left on the disk."""
    async with serve_answers({"/talk.wav": answered}) as remote:
        reply = await http.post(PATH, json={"url": url_of(remote)})
    assert (reply.status_code, reply.json()["success"]) == (status, False)
    assert message in reply.json()["error"]
    assert [file.closed for file in files] == [True]


async def test_the_file_is_gone_after_an_answer(
    http: httpx.AsyncClient, files: list[IO[bytes]], audio: bytes
) -> None:
    """It lives as long as its request."""
    async with serve_answers({"/talk.wav": answer(audio)}) as remote:
        assert (await http.post(PATH, json={"url": url_of(remote)})).status_code == 200
    assert [file.closed for file in files] == [True]


async def test_other_bodies_are_refused(http: httpx.AsyncClient) -> None:
    """Also here in the older shape."""
    for reply, message in (
        (await http.post(PATH, content=b"x", headers={"content-type": "text/plain"}), "text/plain"),
        (await http.post(PATH, files={"file": b"x"}), "Send no file here"),
        (await http.post(PATH, content=b"{", headers={"content-type": "application/json"}), "JSON"),
        (
            await http.post(
                PATH, content=b"x", headers={"content-type": "multipart/form-data; boundary=b"}
            ),
            "",
        ),
    ):
        assert (reply.status_code, reply.json()["success"]) == (400, False)
        assert message in reply.json()["error"]


async def test_it_is_only_posted_to(http: httpx.AsyncClient) -> None:
    """A link somewhere must not make this server fetch anything."""
    reply = await http.get(PATH, params={"url": "http://127.0.0.1/"})
    assert reply.status_code == 405
    assert reply.json() == {"success": False, "error": f"Not allowed to GET on {PATH}."}


async def test_it_is_described(http: httpx.AsyncClient) -> None:
    """The OpenAPI document knows its fields, as JSON too."""
    described = (await http.get("/openapi.json")).json()["paths"][PATH]["post"]
    schema = described["requestBody"]["content"]["application/json"]["schema"]
    assert schema["required"] == ["url"]
    options = {"language", "multilingual", "language_detection_threshold", "task", "model"}
    assert set(schema["properties"]) == {"url", *options, "audio_track"}


# Clients that hang up


async def leave(app: FastAPI, body: bytes, until: Callable[[], Any]) -> int:
    """Post a body, hang up when `until` returns, and return the status that is logged."""
    scope: Scope = {
        "type": "http",
        "method": "POST",
        "path": PATH,
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }
    arriving: list[Message] = [{"type": "http.request", "body": body}]
    statuses: list[int] = []

    async def receive() -> Message:
        if arriving:
            return arriving.pop()
        await until()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app(scope, receive, send)
    return statuses[0]


async def test_hanging_up_ends_the_download(open_app: OpenApp, files: list[IO[bytes]]) -> None:
    """The other server is left alone, and the half of the file is deleted."""
    begun = anyio.Event()

    async def half(stream: ByteStream) -> None:
        await stream.send(answer(b"half", length=8))
        begun.set()
        await stream.receive()

    async with open_app() as (app, _), serve_answers({"/talk.wav": half}) as remote:
        body = f'{{"url": "{url_of(remote)}"}}'.encode()
        assert await leave(app, body, begun.wait) == 499
        await remote.left.wait()
    assert [file.closed for file in files] == [True]


async def test_hanging_up_ends_the_reading(
    open_app: OpenApp, files: list[IO[bytes]], audio: bytes
) -> None:
    """Once the recording is there, as with an upload."""
    backend = GatedBackend()

    async def reached() -> None:  # given up, and begun again, when the download is done
        await anyio.to_thread.run_sync(backend.reached.wait, abandon_on_cancel=True)

    async with (
        open_app(backend) as (app, engine),
        serve_answers({"/talk.wav": answer(audio)}) as remote,
    ):
        try:
            body = f'{{"url": "{url_of(remote)}"}}'.encode()
            assert await leave(app, body, reached) == 499
            assert engine.queue_depth == 0
            assert not backend.gate.is_set()
        finally:
            backend.gate.set()
    assert [file.closed for file in files] == [True]


# On a real port


async def test_a_real_server_fetches(served: str, audio: bytes) -> None:
    """Through uvicorn and sockets on both sides, several at once."""
    replies: list[httpx.Response] = []

    async def post(url: str) -> None:
        replies.append(await client.post(PATH, json={"url": url}))

    async with (
        serve_answers({"/talk.wav": answer(audio)}) as remote,
        httpx.AsyncClient(base_url=served) as client,
    ):
        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(post, url_of(remote))
        assert {reply.status_code for reply in replies} == {200}
        assert all(reply.json()["filename"] == "talk.wav" for reply in replies)


async def test_a_real_client_that_hangs_up_ends_the_download(served: str) -> None:
    """Closing the socket is enough."""
    begun = anyio.Event()

    async def hang(stream: ByteStream) -> None:
        begun.set()
        await stream.receive()

    async with (
        serve_answers({"/talk.wav": hang}) as remote,
        httpx.AsyncClient(base_url=served) as client,
        anyio.create_task_group() as tasks,
    ):

        async def post() -> None:
            await client.post(PATH, json={"url": url_of(remote)})

        tasks.start_soon(post)
        await begun.wait()
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await remote.left.wait()

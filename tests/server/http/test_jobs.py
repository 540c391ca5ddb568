"""The routes of jobs, in-process around the fake backend, and on a real port for WebSockets."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, NoReturn

import anyio
import httpx
import numpy as np
import pytest
from asgi_client import client
from fastapi import FastAPI
from gated_backend import TIMEOUT_S, GatedBackend
from job_fixtures import SECRET, spoken_wav
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from whisperlive_hybrid.backends.fake import pause, speak
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.types import SAMPLE_RATE, Samples

pytestmark = pytest.mark.anyio

OpenApp = Callable[..., AbstractAsyncContextManager[tuple[FastAPI, Engine]]]
WriteWav = Callable[[Samples], bytes]
Json = dict[str, Any]


@pytest.fixture
def audio(write_wav: WriteWav) -> bytes:
    """The words w1 to w3."""
    return write_wav(speak([1, 2, 3]))


async def submitted(http: httpx.AsyncClient, *files: bytes, **fields: object) -> Json:
    """A job with these files."""
    parts = [("file", (f"{n}.wav", file)) for n, file in enumerate(files)]
    reply = await http.post("/v1/jobs", files=parts, data=fields)
    assert reply.status_code == 202, reply.text
    job: Json = reply.json()
    assert reply.headers["location"] == f"/v1/jobs/{job['id']}"
    return job


async def events(http: httpx.AsyncClient, watched: str) -> list[Json]:
    """All events of its stream."""
    reply = await http.get(f"/v1/jobs/{watched}/events")
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"].startswith("text/event-stream")
    frames = reply.text.split("\n\n")
    assert frames.pop() == ""
    assert all(frame.startswith("data: ") and "\n" not in frame for frame in frames)
    return [json.loads(frame.removeprefix("data: ")) for frame in frames]


async def ended(http: httpx.AsyncClient, job: Json) -> Json:
    """The job at its end."""
    last: Json = (await events(http, job["id"]))[-1]["job"]
    return last


def fault(reply: httpx.Response) -> tuple[int, Any, Any]:
    """Status, param and code of a refusal that has OpenAI's four keys and nothing else."""
    assert list(reply.json()) == ["error"]
    error = reply.json()["error"]
    assert list(error) == ["message", "type", "param", "code"]
    return reply.status_code, error["param"], error["code"]


# Submissions


async def test_a_job_from_submission_to_result(http: httpx.AsyncClient, audio: bytes) -> None:
    """What the stream ends with is what the job says, and its result is what was said."""
    job = await submitted(http, audio)
    assert (job["object"], job["model"], job["files"][0]["name"]) == ("job", "fake", "0.wav")
    last = await ended(http, job)
    assert last == (await http.get(f"/v1/jobs/{job['id']}")).json()
    assert (last["status"], last["text"], last["progress"]["done"]) == (
        "completed",
        "w1 w2 w3",
        1.08,
    )
    assert (await http.get(f"/v1/jobs/{job['id']}/result")).json()["text"] == "w1 w2 w3"


@pytest.mark.parametrize("fmt", ["json", "text", "srt", "vtt", "verbose_json"])
async def test_a_result_is_what_the_upload_would_have_got(
    http: httpx.AsyncClient, audio: bytes, fmt: str
) -> None:
    """Byte for byte, headers included, in every format."""
    job = await submitted(http, audio, language="de")
    await ended(http, job)
    form = {"response_format": fmt, "language": "de"}
    direct = await http.post("/v1/audio/transcriptions", files={"file": audio}, data=form)
    result = await http.get(f"/v1/jobs/{job['id']}/result", params={"format": fmt, "file": 0})
    assert result.content == direct.content
    assert result.headers["content-type"] == direct.headers["content-type"]


async def test_speech_without_text_is_told(http: httpx.AsyncClient, write_wav: WriteWav) -> None:
    """By an upload and by a job: what is too quiet for the fake to read is speech all the same."""
    murmur = np.full(2 * SAMPLE_RATE, 1e-4, np.float32)
    audio = write_wav(np.concatenate([murmur, pause(3.0), speak([1, 2])]))
    form = {"response_format": "verbose_json", "language": "en"}
    direct = await http.post("/v1/audio/transcriptions", files={"file": audio}, data=form)
    (unread,) = direct.json()["unread"]
    assert (unread["start"], unread["end"]) == (0.0, pytest.approx(2.0, abs=0.1))
    job = await submitted(http, audio, language="en")
    await ended(http, job)
    result = await http.get(f"/v1/jobs/{job['id']}/result?format=verbose_json")
    assert result.json() == direct.json()


async def test_a_result_is_cut_into_cues_as_asked_for(
    http: httpx.AsyncClient, audio: bytes
) -> None:
    """Each time anew, as the upload would have been."""
    job = await submitted(http, audio)
    await ended(http, job)
    style = {"max_words_per_line": "1", "highlight_words": "true"}
    form = {"response_format": "vtt", **style}
    direct = await http.post("/v1/audio/transcriptions", files={"file": audio}, data=form)
    path = f"/v1/jobs/{job['id']}/result"
    result = await http.get(path, params={"format": "vtt", **style})
    assert result.content == direct.content
    assert "<u>w2</u>\n" in result.text
    refused = await http.get(path, params={"format": "text", **style})
    assert fault(refused) == (400, "max_words_per_line", "invalid_value")
    assert "needs format 'srt' or 'vtt', not 'text'" in refused.text


async def test_words_of_a_translation_are_not_highlighted(
    http: httpx.AsyncClient, audio: bytes
) -> None:
    """They were not said; the cues are cut all the same."""
    job = await submitted(http, audio, task="translate")
    await ended(http, job)
    path = f"/v1/jobs/{job['id']}/result?format=srt"
    assert fault(await http.get(f"{path}&highlight_words=true"))[:2] == (400, "highlight_words")
    result = await http.get(f"{path}&max_words_per_line=2")
    assert "w1 w2\n\n2\n" in result.text


async def test_words_are_measured_if_asked_for(http: httpx.AsyncClient, audio: bytes) -> None:
    """Words are requested with the job, their times are in the result."""
    job = await submitted(http, audio, **{"timestamp_granularities[]": ["word", "segment"]})
    await ended(http, job)
    result = await http.get(f"/v1/jobs/{job['id']}/result?format=verbose_json")
    assert [word["word"] for word in result.json()["words"]] == ["w1", "w2", "w3"]


@pytest.mark.parametrize("name", ["file", "file[]", "files", "files[]"])
async def test_files_in_every_spelling(http: httpx.AsyncClient, audio: bytes, name: str) -> None:
    """Two of them, in the order sent; the one that is no audio spoils nothing."""
    parts = [(name, ("a.wav", audio)), (name, ("b.txt", b"text")), (name, ("c.wav", audio))]
    reply = await http.post("/v1/jobs", files=parts)
    last = await ended(http, reply.json())
    assert [(file["name"], file["status"]) for file in last["files"]] == [
        ("a.wav", "completed"),
        ("b.txt", "failed"),
        ("c.wav", "completed"),
    ]
    results = (await http.get(f"/v1/jobs/{last['id']}/result")).json()
    assert [entry.get("text") for entry in results["data"]] == ["w1 w2 w3", None, "w1 w2 w3"]
    assert fault(await http.get(f"/v1/jobs/{last['id']}/result?format=srt"))[:2] == (400, "file")
    failed = await http.get(f"/v1/jobs/{last['id']}/result?format=srt&file=1")
    assert fault(failed) == (409, "file", "file_failed")


async def test_urls_in_json(http: httpx.AsyncClient) -> None:
    """Without a form; what cannot be fetched fails as a file does."""
    reply = await http.post("/v1/jobs", json={"urls": ["https://example/a"], "language": "en"})
    assert reply.status_code == 202
    last = await ended(http, reply.json())
    assert (last["status"], last["files"][0]["source"]) == ("failed", "url")
    assert "404" in last["error"]["message"]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"json": {}}, (400, "file", None)),
        ({"json": {"file": "a"}}, (400, "file", "unknown_parameter")),
        ({"json": {"urls": ["ftp://x"]}}, (400, "url", None)),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, (400, None, None)),
        ({"content": b"x"}, (400, None, None)),
        ({"data": {"file": "text"}}, (400, None, None)),
        ({"files": {"audio": b"x"}}, (400, "audio", "unknown_parameter")),
        (
            {"files": {"file": b"x"}, "data": {"webhook_url": "https://x"}},
            (400, "webhook_url", "unsupported_value"),
        ),
        ({"files": {"file": b"x"}, "data": {"model": "enormous"}}, (404, None, "model_not_found")),
        ({"content": b" " * 2_000_000, "headers": {"content-type": "application/json"}}, None),
        ({"files": [("file", b"x")] * 102}, (400, None, None)),
    ],
)
async def test_nonsense_is_refused_in_the_usual_shape(
    http: httpx.AsyncClient, request_: Json, expected: tuple[int, str | None, str | None] | None
) -> None:
    """Before anything is stored."""
    reply = await http.post("/v1/jobs", **request_)
    assert reply.status_code == 413 if expected is None else fault(reply) == expected
    assert (await http.get("/v1/jobs")).json()["data"] == []


@pytest.mark.parametrize(
    ("request_", "received"),
    [
        ({}, "with a field 'file', or application/json with 'url' or 'urls', not ''."),
        ({"json": {"url": "https://x", "file": "x"}}, "Field 'file' is for uploads"),
        ({"json": {"files[]": ["x"]}}, "Field 'files[]' is for uploads"),
    ],
)
async def test_files_and_urls_each_have_their_body(
    http: httpx.AsyncClient, request_: Json, received: str
) -> None:
    """A form for uploads, JSON for URLs; the error for anything else names both."""
    reply = await http.post("/v1/jobs", **request_)
    assert fault(reply)[0] == 400
    assert received in reply.json()["error"]["message"]


async def test_too_many_jobs_are_told_when_to_come_back(open_app: OpenApp, audio: bytes) -> None:
    """429 and Retry-After, as an engine that is full."""
    backend = GatedBackend()
    async with open_app(backend, settings={"max_jobs": 1}) as (app, _), client(app) as http:
        await submitted(http, audio)
        reply = await http.post("/v1/jobs", files={"file": audio})
        assert fault(reply)[0] == 429
        assert int(reply.headers["retry-after"]) >= 1
        backend.gate.set()


# Looking, cancelling, deleting


async def test_lists_have_pages(http: httpx.AsyncClient, audio: bytes) -> None:
    """Newest first, each job once."""
    made = [(await submitted(http, audio))["id"] for _ in range(3)]
    first = (await http.get("/v1/jobs", params={"limit": 2})).json()
    assert [job["id"] for job in first["data"]] == made[:0:-1]
    assert (first["first_id"], first["last_id"], first["has_more"]) == (made[2], made[1], True)
    rest = (await http.get("/v1/jobs", params={"limit": 2, "after": first["last_id"]})).json()
    assert [job["id"] for job in rest["data"]] == [made[0]]
    assert not rest["has_more"]
    failed = (await http.get("/v1/jobs?status=failed")).json()
    assert failed["data"] == []


@pytest.mark.parametrize(
    ("query", "param"), [("limit=0", "limit"), ("status=late", "status"), ("order=asc", "order")]
)
async def test_lists_refuse_what_they_do_not_know(
    http: httpx.AsyncClient, query: str, param: str
) -> None:
    """A filter that is ignored would show the wrong jobs."""
    assert fault(await http.get(f"/v1/jobs?{query}"))[:2] == (400, param)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/jobs/job_no"),
        ("DELETE", "/v1/jobs/job_no"),
        ("POST", "/v1/jobs/job_no/cancel"),
        ("GET", "/v1/jobs/job_no/result"),
        ("GET", "/v1/jobs/job_no/events"),
        ("GET", "/v1/jobs?after=job_no"),
    ],
)
async def test_unknown_jobs_are_not_found(http: httpx.AsyncClient, method: str, path: str) -> None:
    """By any route."""
    assert fault(await http.request(method, path)) == (404, None, "job_not_found")


async def test_a_job_is_cancelled_once_and_again(open_app: OpenApp, audio: bytes) -> None:
    """The second time says the same; before, there was no result to be had."""
    backend = GatedBackend()
    async with open_app(backend) as (app, _), client(app) as http:
        job = await submitted(http, audio)
        path = f"/v1/jobs/{job['id']}"
        assert fault(await http.get(f"{path}/result")) == (409, None, "job_not_finished")
        for _ in range(2):
            reply = await http.post(f"{path}/cancel")
            assert (reply.status_code, reply.json()["status"]) == (200, "cancelled")
        assert [event["type"] for event in await events(http, job["id"])] == ["job.cancelled"]
        backend.gate.set()


async def test_a_finished_job_is_not_cancelled(http: httpx.AsyncClient, audio: bytes) -> None:
    """A header prevents SDKs from retrying."""
    job = await submitted(http, audio)
    await ended(http, job)
    reply = await http.post(f"/v1/jobs/{job['id']}/cancel")
    assert fault(reply) == (409, None, "job_finished")
    assert reply.headers["x-should-retry"] == "false"


async def test_a_job_is_deleted(http: httpx.AsyncClient, audio: bytes) -> None:
    """And then it is unknown."""
    job = await submitted(http, audio)
    reply = await http.delete(f"/v1/jobs/{job['id']}")
    assert reply.json() == {"id": job["id"], "object": "job", "deleted": True}
    assert (await http.get(f"/v1/jobs/{job['id']}")).status_code == 404


# Watching


async def test_a_stream_ends_with_the_job(http: httpx.AsyncClient) -> None:
    """Progress, as far as there was any to see, and then how it ended, with the whole text."""
    words = range(1, 21)
    received = await events(http, (await submitted(http, spoken_wav(*words)))["id"])
    types = [event["type"] for event in received]
    assert types == ["job.progress"] * (len(received) - 1) + ["job.completed"]
    assert received[-1]["job"]["text"] == " ".join(f"w{n}" for n in words)


async def listen(socket: ClientConnection, received: list[Json]) -> NoReturn:
    """Collect events until the connection closes, which raises `ConnectionClosed`."""
    while True:
        received.append(json.loads(await socket.recv()))


async def everything(socket: ClientConnection) -> tuple[list[Json], int, str]:
    """All events, the close code and its reason."""
    received: list[Json] = []
    with pytest.raises(ConnectionClosed) as closed:
        await listen(socket, received)
    frame = closed.value.rcvd
    assert frame is not None
    return received, frame.code, frame.reason


def ws_url(served: str, watched: str) -> str:
    """Where to watch."""
    return f"{served.replace('http', 'ws')}/v1/jobs/{watched}/ws"


async def test_a_websocket_tells_the_same(served: str, audio: bytes) -> None:
    """And is closed in the normal way."""
    async with httpx.AsyncClient(base_url=served) as http:
        job = await submitted(http, audio)
        async with connect(ws_url(served, job["id"])) as socket:
            received, code, _ = await everything(socket)
        assert code == 1000
        assert received[-1]["type"] == "job.completed"
        assert received[-1] == (await events(http, job["id"]))[-1]


async def test_a_websocket_of_nothing_is_closed_with_the_reason(served: str) -> None:
    """Accepted first, since a browser shows nothing of a refused handshake."""
    async with connect(ws_url(served, "job_no")) as socket:
        received, code, reason = await everything(socket)
    assert (received, code, reason) == ([], 4404, "There is no job 'job_no'.")


async def test_foreign_pages_may_not_watch(served: str) -> None:
    """A page of another site would read along with the user's reach; our own pages may."""
    with pytest.raises(InvalidStatus) as refused:
        await connect(ws_url(served, "job_no"), origin=Origin("https://evil.example"))
    assert refused.value.response.status_code == 403
    async with connect(ws_url(served, "job_no"), origin=Origin(served)) as socket:
        assert (await everything(socket))[1] == 4404


# Progress of plain uploads


async def test_an_upload_is_watched_from_before_it_begins(served: str, audio: bytes) -> None:
    """By the id that its client chose, until its end."""
    async with connect(ws_url(served, "my-own-upload")) as socket:
        watching = asyncio.create_task(everything(socket))
        async with httpx.AsyncClient(base_url=served) as http:
            reply = await http.post(
                "/v1/audio/transcriptions",
                files={"file": audio},
                headers={"X-Progress-Id": "my-own-upload"},
            )
            assert reply.json()["text"] == "w1 w2 w3"
        received, code, _ = await watching
    assert code == 1000
    assert received[-1] == {
        "type": "upload.completed",
        "id": "my-own-upload",
        "done": 1.08,
        "total": 1.08,
        "text": "w1 w2 w3",
    }
    assert {event["type"] for event in received[:-1]} <= {"upload.progress"}


@pytest.mark.parametrize(
    "path", ["/v1/audio/transcriptions", "/v1/audio/translations", "/transcribe"]
)
async def test_every_upload_can_be_watched(
    http: httpx.AsyncClient, audio: bytes, path: str
) -> None:
    """Also by a watcher that is a little late; a failure has its reason."""
    headers = {"X-Progress-Id": "good-one"}
    assert (await http.post(path, files={"file": audio}, headers=headers)).status_code == 200
    assert [event["type"] for event in await events(http, "good-one")] == ["upload.completed"]
    headers = {"X-Progress-Id": "bad-one-"}
    assert (await http.post(path, files={"file": b"x"}, headers=headers)).status_code == 400
    [event] = await events(http, "bad-one-")
    assert event["type"] == "upload.failed"
    assert "could not be decoded" in event["error"]["message"]


async def test_ids_are_checked_and_belong_to_one_upload(open_app: OpenApp, audio: bytes) -> None:
    """A second upload with the same id is refused while the first is read."""
    backend = GatedBackend()
    async with open_app(backend) as (app, _), client(app) as http:

        async def post(progress_id: str) -> httpx.Response:
            headers = {"X-Progress-Id": progress_id}
            return await http.post(
                "/v1/audio/transcriptions", files={"file": audio}, headers=headers
            )

        assert fault(await post("short")) == (400, "X-Progress-Id", "invalid_value")
        first = asyncio.create_task(post("the-same-id"))
        assert await anyio.to_thread.run_sync(backend.reached.wait, TIMEOUT_S)
        second = await post("the-same-id")
        assert fault(second) == (409, "X-Progress-Id", "progress_id_in_use")
        backend.gate.set()
        assert (await first).status_code == 200


async def test_webhooks_are_taken_where_there_is_a_secret(open_app: OpenApp, audio: bytes) -> None:
    """The URL is looked at before the job is taken."""
    async with open_app(settings={"webhook_secret": SECRET}) as (app, _), client(app) as http:
        await submitted(http, audio, webhook_url="https://example/hook")
        reply = await http.post(
            "/v1/jobs", files={"file": audio}, data={"webhook_url": "http://127.0.0.1"}
        )
        assert fault(reply)[0] == 400

"""The client of jobs against a server of real sockets that follows a script."""

import io
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager

import pytest
from fake_jobs_server import FakeJobsServer, error_reply, run_fake_jobs_server

from whisperlive_hybrid.cli.batch.formats import OutputFormat
from whisperlive_hybrid.cli.batch.jobs_client import JobsClient, RetryPolicy, open_client
from whisperlive_hybrid.errors import NotFound, RemoteFailed, ServerUnusable

pytestmark = pytest.mark.anyio

QUICK = RetryPolicy(busy_s=2, attempts=3, pause_s=0.001, silence_s=30)
"""As patient as its tests."""


@pytest.fixture
def server() -> Iterator[FakeJobsServer]:
    """A fake server of jobs."""
    with run_fake_jobs_server() as served:
        yield served


@asynccontextmanager
async def connected(server: FakeJobsServer, key: str | None = None) -> AsyncIterator[JobsClient]:
    """A client of it."""
    async with open_client(server.url, key, QUICK) as client:
        yield client


async def test_a_recording_goes_there_and_its_texts_come_back(server: FakeJobsServer) -> None:
    """With its fields, its name and the key; JSON is written as the local way writes it."""
    fields = [("language", "en"), ("timestamp_granularities[]", "segment")]
    fields.append(("timestamp_granularities[]", "word"))
    async with connected(server, "secret") as client:
        job = await client.submit_file(io.BytesIO(b"sound"), 'a "b"\u2028.mp3', fields)
        states = [state async for state in client.stream_events(job.id)]
        json_text = await client.download_result(job.id, OutputFormat.JSON)
        srt = await client.download_result(job.id, OutputFormat.SRT)
        stored = server.jobs[job.id]
        await client.delete(job.id)
    assert [(state.is_over, state.done, state.total) for state in states] == [
        (False, 1.0, 2.0),
        (True, 2.0, 2.0),
    ]
    assert (json_text, srt) == ('{\n  "text": "sound",\n  "duration": 2.0\n}\n', "srt of sound\n")
    assert stored.content == b"sound"
    assert stored.fields == {
        "language": ["en"],
        "timestamp_granularities[]": ["segment", "word"],
    }
    assert server.jobs == {}
    assert server.keys == {"Bearer secret"}


async def test_a_url_is_left_to_the_server(server: FakeJobsServer) -> None:
    """Nothing is downloaded here."""
    async with connected(server) as client:
        job = await client.submit_url("https://x.example/a.mp3?b=1&c", [("task", "translate")])
    fields = server.jobs[job.id].fields
    assert fields == {"task": ["translate"], "url": ["https://x.example/a.mp3?b=1&c"]}


async def test_a_busy_server_is_asked_again_when_it_says(server: FakeJobsServer) -> None:
    """429 and 503 with Retry-After; the whole recording is sent again from its beginning."""
    server.refusals = [
        error_reply(429, "Later.", retry_after="0"),
        error_reply(503, "X", retry_after="1"),
    ]
    async with connected(server) as client:
        job = await client.submit_file(io.BytesIO(b"sound"), "a.mp3", [])
    assert server.count("POST") == 3
    assert server.jobs[job.id].content == b"sound"


async def test_patience_with_a_busy_server_ends(server: FakeJobsServer) -> None:
    """A wait that is longer than patience lasts is not begun; its words are the server's."""
    server.refusals = [error_reply(429, "Come back tomorrow.", retry_after="86400")]
    async with connected(server) as client:
        with pytest.raises(RemoteFailed, match="Come back tomorrow"):
            await client.submit_file(io.BytesIO(b"sound"), "a.mp3", [])
    assert server.count("POST") == 1


@pytest.mark.parametrize("status", [400, 409, 413, 500, 503, 507])
async def test_other_refusals_are_told_at_once(server: FakeJobsServer, status: int) -> None:
    """Nothing is repeated that the server did not ask to be repeated."""
    server.refusals = [error_reply(status, "So it is.")]
    async with connected(server) as client:
        with pytest.raises(RemoteFailed, match="So it is"):
            await client.submit_file(io.BytesIO(b"sound"), "a.mp3", [])
    assert server.count("POST") == 1


@pytest.mark.parametrize(
    ("status", "words"), [(401, "refuses access: No key"), (404, "no jobs"), (405, "no jobs")]
)
async def test_some_refusals_concern_every_recording(
    server: FakeJobsServer, status: int, words: str
) -> None:
    """A wrong key, and a server without jobs: no use in sending the next file."""
    server.refusals = [error_reply(status, "No key.")]
    async with connected(server) as client:
        with pytest.raises(ServerUnusable, match=words):
            await client.submit_file(io.BytesIO(b"sound"), "a.mp3", [])


async def test_a_model_that_the_server_has_not_is_told_in_its_words(server: FakeJobsServer) -> None:
    """It is missing for every recording, and the route is not."""
    body = b'{"error": {"message": "No model \'x\'.", "type": "", "code": "model_not_found"}}'
    server.refusals = [(404, {"content-type": "application/json"}, body)]
    async with connected(server) as client:
        with pytest.raises(ServerUnusable, match="No model 'x'"):
            await client.submit_file(io.BytesIO(b"sound"), "a.mp3", [("model", "x")])


async def test_a_gateway_that_lost_its_server_is_asked_again(server: FakeJobsServer) -> None:
    """While the server restarts, its proxy answers 502, which is retried as well."""
    gateway = (502, {"content-type": "text/html"}, b"<h1>Bad Gateway</h1>")
    server.refusals = [gateway, gateway]
    async with connected(server) as client:
        await client.submit_file(io.BytesIO(b"sound"), "a.mp3", [])
        server.refusals = [gateway] * 3
        with pytest.raises(RemoteFailed, match="status 502"):
            await client.submit_file(io.BytesIO(b"sound"), "a.mp3", [])


async def test_responses_of_another_server_are_errors(server: FakeJobsServer) -> None:
    """Another web server at that port; no stack, and no guess."""
    html = (200, {"content-type": "text/html"}, b"<h1>Welcome</h1>")
    server.refusals = [html, (200, {}, b'{"id": 7}')]
    async with connected(server) as client:
        with pytest.raises(RemoteFailed, match="not valid JSON"):
            await client.submit_file(io.BytesIO(b"sound"), "a.mp3", [])
        with pytest.raises(RemoteFailed, match="not a job object"):
            await client.submit_file(io.BytesIO(b"sound"), "a.mp3", [])
        with pytest.raises(NotFound):
            await client.get_job("job_none")


async def test_a_server_that_never_answered_is_not_waited_for() -> None:
    """A wrong port is an error at once, with its URL."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    retry_policy = RetryPolicy(attempts=100, pause_s=100)
    async with open_client(f"http://127.0.0.1:{port}", None, retry_policy) as client:
        with pytest.raises(ServerUnusable, match=rf"No response from http://127\.0\.0\.1:{port}"):
            await client.get_job("job_0")


async def test_a_server_that_went_away_is_waited_for() -> None:
    """So many attempts, then it is given up."""
    with ExitStack() as stack:
        server = stack.enter_context(run_fake_jobs_server())
        async with connected(server) as client:
            job = await client.submit_file(io.BytesIO(b"sound"), "a.mp3", [])
            stack.close()
            with pytest.raises(ServerUnusable, match="No response from"):
                await client.get_job(job.id)


def test_pauses_grow_and_stay_bounded() -> None:
    """1, 2, 4, 8 and again 8 seconds."""
    assert [RetryPolicy().pause(n) for n in range(1, 7)] == [1, 2, 4, 8, 8, 8]

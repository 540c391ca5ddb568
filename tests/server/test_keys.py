"""Keys on a whole server, with real clients: made and revoked beside it, and never logged."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import openai
import pytest
from command_line import whisperlive
from paths import CLIPS
from running_server import Server, start_server, wait_for_exit
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

CLIP = CLIPS / "en-0.flac"
FAILING = """
import logging, sys
from whisperlive_hybrid.telemetry.logging import configure_logging
configure_logging(form=sys.argv[1], level="info")
def route(shown):
    raise KeyError(len(shown))
try:
    route(sys.argv[2])
except KeyError:
    logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
"""
HELLO = json.dumps({"uid": "a-b-c", "language": "en"})


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the server writes, everything that it can be made to write."""
    return tmp_path_factory.mktemp("log") / "server.log"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, log: Path) -> Iterator[Server]:
    """A server that asks for keys, with the demo model, as talkative as can be."""
    data = tmp_path_factory.mktemp("data")
    running = start_server(data, log, WHISPERLIVE_AUTH="true", WHISPERLIVE_LOG_LEVEL="debug")
    yield running
    running.process.send_signal(signal.SIGTERM)
    assert wait_for_exit(running) == 0


def made(directory: Path, *arguments: str) -> str:
    """A new key, as `whisperlive keys make` prints it."""
    data = str(directory)
    done = whisperlive("keys", "make", "test", *arguments, WHISPERLIVE_DATA_DIR=data)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def revoke(directory: Path, token: str) -> None:
    """End a key."""
    key_id = token.split("_")[1]
    done = whisperlive("keys", "revoke", key_id, WHISPERLIVE_DATA_DIR=str(directory))
    assert done.returncode == 0, done.stderr


def live_status(server: Server, path: str = "", **options: Any) -> int:  # noqa: ANN401 (of the websockets library)
    """How the live door answers an upgrade."""
    try:
        with connect(f"{server.live_url}{path}", compression=None, **options) as socket:
            socket.send(HELLO)
            assert json.loads(socket.recv())["message"] == "SERVER_READY"
            return 101
    except InvalidStatus as refusal:
        return refusal.response.status_code


def test_a_key_works_from_its_making_to_its_revocation(server: Server) -> None:
    """At both doors, at the very next request, while the server runs."""
    with openai.OpenAI(
        base_url=f"{server.http_url}/v1", api_key=made(server.data_dir), max_retries=0
    ) as client:
        made_text = client.audio.transcriptions.create(model="whisper-1", file=CLIP).text
        assert made_text
        assert live_status(server, f"/?token={client.api_key}") == 101
        revoke(server.data_dir, client.api_key)
        with pytest.raises(openai.AuthenticationError) as refusal:
            client.audio.transcriptions.create(model="whisper-1", file=CLIP)
        assert live_status(server, f"/?token={client.api_key}") == 401
    assert (refusal.value.status_code, refusal.value.code) == (401, "invalid_api_key")
    assert client.api_key not in str(refusal.value)


def test_a_large_upload_without_a_key_gets_its_401(server: Server) -> None:
    """Not a connection that breaks under it, which clients would take for a reason to try again."""
    with openai.OpenAI(base_url=f"{server.http_url}/v1", api_key="no", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError):
            client.audio.transcriptions.create(model="whisper-1", file=bytes(30_000_000))
        with pytest.raises(openai.AuthenticationError):
            client.models.list()


def test_sockets_of_both_doors_take_a_key_in_three_ways(server: Server) -> None:
    """Real clients; and an event stream takes it from its URL."""
    token = made(server.data_dir)
    header = {"Authorization": f"Bearer {token}"}
    offered = [Subprotocol("bearer"), Subprotocol(token)]
    ways: list[tuple[str, dict[str, Any]]] = [
        ("", {"additional_headers": header}),
        (f"?token={quote(token)}", {}),
        ("", {"subprotocols": offered}),
    ]
    job = httpx.post(
        f"{server.http_url}/v1/jobs", files={"file": CLIP.read_bytes()}, headers=header
    ).json()["id"]
    events = httpx.get(f"{server.http_url}/v1/jobs/{job}/events?token={token}", timeout=60)
    assert '"job.completed"' in events.text
    watched = f"{server.http_url}/v1/jobs/{job}/ws".replace("http:", "ws:")
    for query, options in ways:
        assert live_status(server, f"/{query}", **options) == 101
        with connect(f"{watched}{query}", **options) as socket:
            assert json.loads(socket.recv())["type"] == "job.completed"
            with pytest.raises(ConnectionClosed):
                socket.recv()
    with pytest.raises(InvalidStatus) as refusal, connect(f"{watched}?token=wlk_wrong"):
        pass
    assert refusal.value.response.status_code == 401


def test_the_command_line_asks_a_server_with_its_key(server: Server, tmp_path: Path) -> None:
    """`whisperlive transcribe --jobs-url` sends WHISPERLIVE_API_KEY."""
    arguments = ("transcribe", "--jobs-url", server.http_url, "--output-dir", str(tmp_path))
    token = made(server.data_dir)
    done = whisperlive(*arguments, str(CLIP), WHISPERLIVE_API_KEY=token)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "en-0.txt").read_text().strip()
    refused = whisperlive(*arguments, "--overwrite", str(CLIP), WHISPERLIVE_API_KEY="wrong")
    assert refused.returncode != 0
    assert "wrong" not in refused.stderr


def test_keys_and_jobs_outlive_a_restart(tmp_path: Path) -> None:
    """Each job stays its key's; a key of the environment is an admin's."""
    mine, other = made(tmp_path), made(tmp_path)
    settings = {"WHISPERLIVE_AUTH": "true", "WHISPERLIVE_API_KEY": "of-the-environment"}
    first = start_server(tmp_path, None, **settings)
    files = {"file": CLIP.read_bytes()}
    jobs = httpx.post(f"{first.http_url}/v1/jobs", files=files, headers=_bearer(mine))
    first.process.send_signal(signal.SIGTERM)
    assert wait_for_exit(first) == 0
    second = start_server(tmp_path, None, **settings)
    try:
        url = f"{second.http_url}/v1/jobs/{jobs.json()['id']}"
        found = [
            httpx.get(url, headers=_bearer(token)).status_code
            for token in (mine, other, "of-the-environment", "of-the-environments")
        ]
        assert found == [200, 404, 200, 401]
    finally:
        second.process.send_signal(signal.SIGTERM)
        assert wait_for_exit(second) == 0


def test_no_key_is_ever_logged(server: Server, log: Path) -> None:
    """Right or wrong, in a header, a URL or a subprotocol, at any level."""
    token, wrong = made(server.data_dir), "wlk_guessed_secret"
    for shown in (token, wrong):
        httpx.get(f"{server.http_url}/v1/models", headers=_bearer(shown))
        httpx.get(f"{server.http_url}/v1/jobs/job_no/events?token={shown}")
        httpx.get(f"{server.http_url}/v1/models?token={shown}")
        live_status(server, f"/?token={shown}")
        live_status(server, subprotocols=[Subprotocol("bearer"), Subprotocol(shown)])
        watched = f"{server.http_url}/v1/jobs/job_no/ws?token={shown}".replace("http:", "ws:")
        try:
            with connect(watched) as socket:
                socket.recv()
        except (InvalidStatus, ConnectionClosed):
            pass
    written = log.read_text()
    assert "client refused" in written
    assert wrong not in written
    assert token.split("_")[2] not in written


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_stack_in_the_log_shows_no_values(form: str) -> None:
    """Variables of a request hold keys, and what people have said."""
    done = subprocess.run(
        [sys.executable, "-c", FAILING, form, "wlk_shown"], capture_output=True, check=True
    )
    written = done.stderr.decode()
    assert "Exception in ASGI application" in written
    assert "KeyError" in written
    assert "wlk_shown" not in written


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}

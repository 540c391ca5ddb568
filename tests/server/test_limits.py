"""Limits and usage of the whole server as a process."""

import signal
from pathlib import Path

import httpx
from running_server import Server, ended, start_server

CLIP = Path(__file__).parent.parent / "clips" / "en-0.flac"


def status_of_a_file(server: Server, said_to_be_from: str) -> int:
    """Send a clip as if through a proxy."""
    with CLIP.open("rb") as media:
        reply = httpx.post(
            f"{server.http_url}/v1/audio/transcriptions",
            files={"file": media},
            headers={"X-Forwarded-For": said_to_be_from},
        )
    return reply.status_code


def test_usage_outlives_the_server_and_nobody_speaks_for_others(tmp_path: Path) -> None:
    """A client on this machine is no proxy unless it is listed, and SIGTERM loses no usage."""
    first = start_server(tmp_path, WHISPERLIVE_REQUESTS_PER_MINUTE="2")
    statuses = [status_of_a_file(first, f"203.0.113.{n}") for n in range(3)]
    first.process.send_signal(signal.SIGTERM)
    assert ended(first) == 0
    assert statuses == [200, 200, 429]
    second = start_server(tmp_path)
    [today] = httpx.get(f"{second.http_url}/v1/usage").json()["data"]
    second.process.send_signal(signal.SIGTERM)
    assert ended(second) == 0
    assert (today["requests"], today["refused"]) == (2, 1)
    assert today["file_seconds"] > 0

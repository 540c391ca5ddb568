"""Limits and usage of the whole server as a process."""

import json
import signal
from pathlib import Path
from typing import Any

import httpx
from command_line import whisperlive
from paths import CLIPS
from running_server import Server, start_server, wait_for_exit
from websockets.sync.client import connect

CLIP = CLIPS / "en-0.flac"


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
    stop(first)
    assert statuses == [200, 200, 429]
    second = start_server(tmp_path)
    [today] = httpx.get(f"{second.http_url}/v1/usage").json()["data"]
    stop(second)
    assert (today["requests"], today["refused"]) == (2, 1)
    assert today["file_seconds"] > 0


def stop(server: Server) -> None:
    """End it in an orderly way."""
    server.process.send_signal(signal.SIGTERM)
    assert wait_for_exit(server) == 0


def made(directory: Path, *arguments: str) -> dict[str, str]:
    """A new key, as the header that shows it."""
    done = whisperlive("keys", "make", *arguments, WHISPERLIVE_DATA_DIR=str(directory))
    assert done.returncode == 0, done.stderr
    return {"Authorization": f"Bearer {done.stdout.strip()}"}


def handed_in(server: Server, route: str, key: dict[str, str]) -> httpx.Response:
    """Send a clip with a key."""
    files = {"file": CLIP.read_bytes()}
    return httpx.post(f"{server.http_url}{route}", files=files, headers=key, timeout=60)


def usage(server: Server, key: dict[str, str]) -> list[dict[str, Any]]:
    """What a key sees."""
    found: list[dict[str, Any]] = httpx.get(f"{server.http_url}/v1/usage", headers=key).json()[
        "data"
    ]
    return found


def live_answer(server: Server, key: dict[str, str]) -> dict[str, Any]:
    """The first message of the live door."""
    with connect(server.live_url, compression=None, additional_headers=key) as socket:
        socket.send(json.dumps({"uid": "a-b-c", "language": "en"}))
        answer: dict[str, Any] = json.loads(socket.recv())
        return answer


def test_a_key_has_its_own_limits_and_its_own_day(tmp_path: Path) -> None:
    """At both doors and for jobs, over a restart; it sees its own usage, an admin all."""
    small = made(tmp_path, "small", "--audio-seconds-per-day", "1")
    large = made(tmp_path, "large [of all]")
    admin = made(tmp_path, "boss", "--admin")
    settings = {"WHISPERLIVE_AUTH": "true"}
    first = start_server(tmp_path, None, **settings)
    job = handed_in(first, "/v1/jobs", small)
    assert job.status_code == 202
    httpx.get(f"{first.http_url}/v1/jobs/{job.json()['id']}/events", headers=small, timeout=60)
    stop(first)

    second = start_server(tmp_path, None, **settings)
    assert handed_in(second, "/v1/audio/transcriptions", small).status_code == 429
    assert handed_in(second, "/v1/jobs", small).status_code == 429
    assert live_answer(second, small)["status"] == "WAIT"
    assert handed_in(second, "/v1/audio/transcriptions", large).status_code == 200
    assert live_answer(second, large)["message"] == "SERVER_READY"
    [own] = usage(second, small)
    assert (own["name"], own["requests"], own["refused"]) == ("small", 1, 3)
    assert own["file_seconds"] > 1
    seen = {each["name"]: each for each in usage(second, admin)}
    assert seen["small"] == own
    assert (seen["large [of all]"]["requests"], seen["large [of all]"]["live_streams"]) == (2, 1)

    shown = whisperlive("keys", "usage", WHISPERLIVE_DATA_DIR=str(tmp_path), COLUMNS="100")
    assert shown.returncode == 0, shown.stderr
    rows = {name: line for line in shown.stdout.splitlines() for name in seen if name in line}
    assert set(rows) == {"small", "large [of all]"}
    assert own["day"] in rows["small"]
    assert f"{own['file_seconds']:.1f}" in rows["small"]
    stop(second)

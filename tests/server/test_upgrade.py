"""Data that version 0.1 has written: keys, usage, results, and a job that it left unfinished."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from paths import TESTS
from running_server import Server, start_server, wait_for_exit

from whisperlive_hybrid.models.files import demo_model

OLD = TESTS / "data_of_0_1"
KEY = (OLD / "key.txt").read_text().strip()
COMPLETED = "job_255b9638fc1e4405932c2308997c9aec"
INTERRUPTED = "job_d159010da1ed44afad084b09a161f9a9"
TIMEOUT_S = 60.0


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file with the server's log."""
    return tmp_path_factory.mktemp("log") / "server.log"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, log: Path) -> Iterator[Server]:
    """A server of today on a copy of that data."""
    data = tmp_path_factory.mktemp("old") / "data"
    shutil.copytree(OLD / "data", data)
    serving = start_server(
        data,
        log,
        WHISPERLIVE_AUTH="true",
        WHISPERLIVE_LOG_FORMAT="json",
        # The data is as old as this test; neither results nor usage may expire.
        WHISPERLIVE_JOB_RESULT_HOURS="876000",
        WHISPERLIVE_USAGE_DAYS="36500",
    )
    yield serving
    serving.process.terminate()
    assert wait_for_exit(serving) == 0


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    """A client with the key of that time."""
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=server.http_url, headers=headers, timeout=TIMEOUT_S) as client:
        yield client


@pytest.mark.parametrize("form", ["json", "text", "srt", "vtt", "verbose_json"])
def test_results_are_returned_byte_for_byte(http: httpx.Client, form: str) -> None:
    """As on the day on which the job was completed."""
    reply = http.get(f"/v1/jobs/{COMPLETED}/result", params={"format": form})
    assert reply.content == (OLD / f"result.{form}").read_bytes()


def test_an_interrupted_job_goes_on_from_its_checkpoints(http: httpx.Client, log: Path) -> None:
    """Windows that were decoded before the crash are not decoded again."""
    deadline = time.monotonic() + TIMEOUT_S
    while (job := http.get(f"/v1/jobs/{INTERRUPTED}").json())["status"] in {"queued", "running"}:
        assert time.monotonic() < deadline, job
    assert job["status"] == "completed"
    assert job["progress"]["done"] == pytest.approx(257.3, abs=1.0)
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    read = [line for line in lines if line["event"] == "read a file of a job"]
    assert [line["windows_recalled"] for line in read] == [11, 0]


def test_usage_is_kept(http: httpx.Client) -> None:
    """Of the day on which it was written."""
    days = http.get("/v1/usage", params={"days": 36500}).json()["data"]
    [day] = [each for each in days if each["day"] == "2026-12-01"]
    assert (day["name"], day["file_seconds"] >= 2.435) == ("captions", True)


def test_other_keys_are_refused(server: Server) -> None:
    """The data has one key, and it must be shown."""
    assert httpx.get(f"{server.http_url}/v1/jobs").status_code == 401


def test_a_card_is_read() -> None:
    """As `whisperlive calibrate` wrote it."""
    card = demo_model(OLD / "card.json").card
    assert (card.longest_window_s, card.shortest_context_s, card.context_tail_s) == (10, 30, 0.5)

"""Jobs of a server that dies: real processes, the demo model, SIGKILL in the middle of a job."""

import json
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from running_server import Server, start_server, wait_for_exit
from speech_clips import Clip
from wav_files import write_wav

Json = dict[str, Any]

TABLES = ("jobs", "sources", "readings", "deliveries")


@pytest.fixture(scope="module")
def talk(clips: list[Clip]) -> bytes:
    """A recording of some 60 windows: the English clips, four times over."""
    return write_wav(np.concatenate([c.samples for c in clips if c.language == "en"] * 4))


@dataclass
class Life:
    """One directory of jobs, and the servers that follow one another in it."""

    directory: Path
    server: Server

    def submit(self, talk: bytes) -> str:
        """Hand in a job whose every number shows in its result."""
        form = {
            "language": "en",
            "timestamp_granularities[]": ["word", "segment"],
            "vad_parameters[min_silence_duration_ms]": "300",  # many windows, so many middles
        }
        reply = httpx.post(f"{self.jobs}", files={"file": talk}, data=form)
        assert reply.status_code == 202, reply.text
        job_id: str = reply.json()["id"]
        return job_id

    def events(self, job_id: str) -> Iterator[Json]:
        """What its stream tells."""
        with httpx.stream("GET", f"{self.jobs}/{job_id}/events", timeout=60) as reply:
            for line in reply.iter_lines():
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))

    def kill_at(self, job_id: str, done: float) -> None:
        """Kill the server when so many seconds of the job are read; the next one starts."""
        for event in self.events(job_id):
            if event["job"]["progress"]["done"] >= done:
                break
        self.server.process.kill()
        wait_for_exit(self.server)

    def restart(self) -> None:
        """Start the next server."""
        self.server = _started(self.directory)

    def result(self, job_id: str) -> Json:
        """What was said, once the job has ended."""
        last = list(self.events(job_id))[-1]
        assert last["type"] == "job.completed", last
        reply = httpx.get(f"{self.jobs}/{job_id}/result", params={"format": "verbose_json"})
        result: Json = reply.json()
        return result

    @property
    def jobs(self) -> str:
        """The address of its jobs."""
        return f"{self.server.http_url}/v1/jobs"

    def rows(self, table: str = "readings") -> int:
        """How many rows a table has; those of readings are windows."""
        with closing(sqlite3.connect(self.directory / "data" / "jobs.db")) as database:
            query = f"SELECT count(*) FROM {table}"  # noqa: S608 (the names are ours)
            (count,) = database.execute(query).fetchone()
        return int(count)

    def read_last(self) -> Json:
        """What the log says of the file that was read last."""
        lines = (self.directory / "log").read_text().splitlines()
        news: list[Json] = [json.loads(line) for line in lines]
        return [line for line in news if line["event"] == "read a file of a job"][-1]

    def spooled(self) -> list[Path]:
        """Files in the spool."""
        return list((self.directory / "data" / "spool").iterdir())


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    """Begun; none of its servers outlives the test."""
    begun = Life(tmp_path, _started(tmp_path))
    yield begun
    begun.server.process.terminate()
    assert wait_for_exit(begun.server) == 0


def _started(directory: Path) -> Server:
    return start_server(
        directory / "data",
        directory / "log",
        WHISPERLIVE_LOG_FORMAT="json",
        OMP_NUM_THREADS="1",  # one window after another, so that there is a middle
    )


def killed_in_the_middle(life: Life, talk: bytes, times: int, seed: int) -> None:
    """Kill servers at random moments of their jobs; every job ends as if undisturbed.

    Until `times` of them had windows in store: a kill may come too early or too late for that.
    """
    moments = random.Random(seed)
    first = life.submit(talk)
    undisturbed = life.result(first)
    windows = life.read_last()["windows_read"]
    assert windows >= 15
    jobs = [first]
    in_the_middle = 0
    while in_the_middle < times:
        assert len(jobs) < 3 + 2 * times, "most kills must come in the middle of a job"
        job_id = life.submit(talk)
        jobs.append(job_id)
        life.kill_at(job_id, moments.uniform(0, 0.6 * undisturbed["duration"]))
        stored = life.rows()
        life.restart()
        assert life.result(job_id) == undisturbed
        read = life.read_last()
        assert (read["job_id"], read["windows_recalled"]) == (job_id, stored)
        assert read["windows_read"] == windows - stored
        assert life.spooled() == []
        in_the_middle += stored > 0
    listed = httpx.get(life.jobs, params={"limit": 100}).json()["data"]
    assert [job["id"] for job in listed] == jobs[::-1]
    for job_id in jobs:
        httpx.delete(f"{life.jobs}/{job_id}")
    assert {table: life.rows(table) for table in TABLES} == dict.fromkeys(TABLES, 0)


def test_a_killed_server_goes_on_where_it_was(life: Life, talk: bytes) -> None:
    """Nothing is lost or doubled, no stored window is read again, and every number is the same.

    Once here, twenty times with the marker `crash`.
    """
    killed_in_the_middle(life, talk, times=1, seed=1)


@pytest.mark.crash
@pytest.mark.timeout(600)
def test_twenty_killed_servers_go_on_where_they_were(life: Life, talk: bytes) -> None:
    """The same, twenty times."""
    killed_in_the_middle(life, talk, times=20, seed=2)


def test_a_server_that_is_killed_again_and_again(life: Life, talk: bytes) -> None:
    """One job outlives several servers, each of which gets a little further."""
    job_id = life.submit(talk)
    kept = 0
    for done in (5.0, 70.0):
        life.kill_at(job_id, done)
        assert life.rows() >= kept
        kept = life.rows()
        life.restart()
    result = life.result(job_id)
    assert life.read_last()["windows_recalled"] == kept
    assert life.result(life.submit(talk)) == result


def test_sigterm_leaves_the_job_to_the_next_server(life: Life, talk: bytes) -> None:
    """An orderly end is as prompt as without a job, and loses no more than a crash."""
    job_id = life.submit(talk)
    stream = life.events(job_id)
    next(stream)
    life.server.process.terminate()
    assert "job.completed" not in {event["type"] for event in stream}
    assert wait_for_exit(life.server) == 0
    assert wait_for_exit(life.server) == 0
    stored = life.rows()
    life.restart()
    assert life.result(job_id)["text"]
    assert life.read_last()["windows_recalled"] == stored

"""A server under visitors of every kind, for minutes or hours: nothing that it holds may grow.

Rounds of visits are followed by quiet, in which everything that belongs to a visit must be gone.
Files, tasks and temporary files can be counted exactly then. Memory has to warm up: the first
quarter of the rounds does not count, and the highest mark of the second half is held against that
of the second quarter. A leak goes on; caches and high marks do not. What is in use, by malloc's and
the interpreter's own count, is held closely; what the process has less so, for its allocator keeps
the most that visits ever needed at once, and that is a matter of luck.
"""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from paths import TESTS
from running_server import Server, start_server, wait_for_exit
from soak_clients import GONE, ServerBusy, SoakClient
from speech_clips import Clip

SECONDS = float(os.environ.get("SOAK_S", "120"))
SEED = int(os.environ.get("SOAK_SEED", random.SystemRandom().randrange(2**32)))
ROUND_S = max(8.0, SECONDS / 60)

CLIENTS = 16
"""That the server admits; two cores hold three times as many streams of the demo model."""
SPEAKERS = 6
"""And up to two that break off: half of them."""
NUISANCES = 4

QUIET_S = 60.0
"""For everything to be gone: the longest is an idle connection of HTTP, of which there is none."""
MOST_GROWTH = {"heap": 1.05, "objects": 1.02, "resident": 2.0}
"""By what is counted: bytes of malloc in use, blocks of the interpreter, bytes of the process. A
worker that reads a damaged file in the full context once needs 70 MiB more, and keeps them."""

pytestmark = [pytest.mark.soak, pytest.mark.timeout(2 * SECONDS + 600)]


@dataclass(frozen=True)
class Holdings:
    """What a quiet server has."""

    memory: dict[str, int]
    threads: int
    files: list[str]
    tasks: list[str]
    temporary: list[str]


class Patient:
    """The server under watch."""

    def __init__(self, server: Server, directory: Path) -> None:
        self.server = server
        self._directory = directory
        self._report = directory / "report"

    def holdings(self) -> Holdings:
        """Count everything."""
        process = Path(f"/proc/{self.server.process.pid}")
        told = self._told()
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        return Holdings(
            memory={
                "heap": told["heap"],
                "objects": told["objects"],
                "resident": int(status["VmRSS"].split()[0]) * 1024,
            },
            threads=int(status["Threads"]),
            files=sorted(_links(process / "fd")),
            tasks=told["tasks"],
            temporary=sorted(
                file.name
                for directory in (self._directory / "tmp", self._directory / "data" / "spool")
                for file in directory.iterdir()
            ),
        )

    def settled(self) -> Holdings:
        """Wait until nothing comes or goes any more."""
        then, now = None, self.holdings()
        while then is None or not _is_like(now, then):
            time.sleep(1)
            then, now = now, self.holdings()
        return now

    def quiet(self, like: Holdings) -> Holdings:
        """Wait until it has no more than at its beginning, or for as long as that may take."""
        until = time.monotonic() + QUIET_S
        while not _is_like(now := self.holdings(), like) and time.monotonic() < until:
            time.sleep(0.5)
        return now

    def _told(self) -> dict[str, Any]:
        """What it says about itself."""
        self._report.unlink(missing_ok=True)
        self.server.process.send_signal(signal.SIGUSR1)
        until = time.monotonic() + 10
        while not self._report.exists() and time.monotonic() < until:
            time.sleep(0.01)
        told: dict[str, Any] = json.loads(self._report.read_text())
        return told


def _links(directory: Path) -> Iterator[str]:
    for link in directory.iterdir():
        with suppress(OSError):  # closed meanwhile
            yield str(link.readlink()).partition(":")[0]


def _is_like(now: Holdings, then: Holdings) -> bool:
    counted = (len(now.files), len(now.tasks), now.temporary)
    return counted == (len(then.files), len(then.tasks), then.temporary)


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[Patient]:
    """A server of its own."""
    (tmp_path / "tmp").mkdir()
    program = [sys.executable, str(TESTS / "soak_server.py")]
    server = start_server(
        tmp_path / "data",
        tmp_path / "log",
        program,
        WHISPERLIVE_MAX_CLIENTS=str(CLIENTS),
        TMPDIR=str(tmp_path / "tmp"),
        SOAK_REPORT=str(tmp_path / "report"),
    )
    yield Patient(server, tmp_path)
    server.process.terminate()
    assert wait_for_exit(server) == 0


async def _round(server: Server, clips: list[Clip], number: int) -> None:
    """Visits until the time is up; each begun one comes to its end."""
    until = anyio.current_time() + ROUND_S

    async def keep_visiting(who: int) -> None:
        dice = random.Random(f"{SEED} {number} {who}")
        client = SoakClient(dice, server.live_url, server.http_url, clips)
        while anyio.current_time() < until:
            if who < SPEAKERS:
                with suppress(ServerBusy):
                    await client.stream_clip()
            else:
                with suppress(*GONE):
                    await dice.choice(client.disturbances)()

    async with anyio.create_task_group() as tasks:
        for who in range(SPEAKERS + NUISANCES):
            tasks.start_soon(keep_visiting, who)


def test_nothing_grows(patient: Patient, sentences: list[Clip], tmp_path: Path) -> None:
    """Memory, threads, tasks, descriptors and temporary files, over thousands of visits."""
    print(f"SOAK_SEED={SEED} SOAK_S={SECONDS:g}")  # noqa: T201 (to be able to repeat it)
    clips = [clip for clip in sentences if clip.language == "en"]
    anyio.run(_round, patient.server, clips, 0)
    first = patient.settled()
    seen: list[Holdings] = []
    until = time.monotonic() + SECONDS
    while time.monotonic() < until or len(seen) < 8:
        anyio.run(_round, patient.server, clips, len(seen) + 1)
        seen.append(patient.quiet(first))
        print(_line(seen[-1]))  # noqa: T201 (the course of it)
        assert httpx.get(f"{patient.server.http_url}/health").json()["live_clients"] == 0
        assert seen[-1].files == first.files
        assert seen[-1].tasks == first.tasks
        assert seen[-1].temporary == first.temporary
    quarter = len(seen) // 4
    warm, later = seen[quarter : 2 * quarter], seen[2 * quarter :]
    assert max(each.threads for each in later) <= max(each.threads for each in warm) + 4
    for kind, most in MOST_GROWTH.items():
        mark = max(each.memory[kind] for each in warm)
        assert max(each.memory[kind] for each in later) <= most * mark, kind
    assert "Traceback" not in (tmp_path / "log").read_text()


def _line(seen: Holdings) -> str:
    return (
        f"{seen.memory['heap'] / 2**20:.2f} MiB in use, {seen.memory['objects']} objects, "
        f"{seen.memory['resident'] / 2**20:.1f} MiB, {seen.threads} threads, "
        f"{len(seen.files)} files, {len(seen.tasks)} tasks"
    )

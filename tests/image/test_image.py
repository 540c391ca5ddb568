"""The image as an operator runs it: built here, hardened, without any network but loopback."""

import json
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pytest
from command_line import ENGLISH
from container_engine import IMAGE, Containers
from live_clients import LiveClient
from running_container import Service, run_container, transcribe_file
from running_server import wait_for_exit
from speech_clips import Clip
from wav_files import write_wav
from websockets.asyncio.client import connect

from whisperlive_hybrid import __version__
from whisperlive_hybrid.cli.main import sample_clip
from whisperlive_hybrid.media.reader import open_audio
from whisperlive_hybrid.types import Samples

pytestmark = [pytest.mark.image, pytest.mark.anyio, pytest.mark.timeout(900)]

LARGEST_MB = 600
"""536 when this was written; half of it is CTranslate2, onnxruntime and ffmpeg's libraries."""

DEMO_TRANSCRIBE = ("transcribe", "--model", "demo")
"""Without a download; tests/image/test_models.py has a real model."""

STRANGER = "--user=1000650000:0"
"""Who an OpenShift cluster says that we are."""


@pytest.fixture(scope="module")
def service(engine: Containers) -> Iterator[Service]:
    """One container with the demo model for the tests that leave it as it is."""
    with run_container(engine, "served") as service:
        yield service
        assert service.stop() == 0


@pytest.fixture(scope="module")
def speech() -> Samples:
    """The clip that the start-up line names."""
    with sample_clip().open("rb") as media, open_audio(media) as audio:
        return np.concatenate(list(audio.blocks()))


async def test_both_doors_answer(service: Service, speech: Samples) -> None:
    """An upload and a live stream of one clip give the same text, from a hardened container."""
    assert transcribe_file(service, sample_clip().read_bytes()) == ENGLISH
    async with connect(service.server.live_url, proxy=None, compression=None) as socket:
        client = LiveClient(socket)
        await client.greet()
        await client.say(speech)
        await client.end()
        await client.rest()
    assert client.text == ENGLISH


def test_it_is_healthy(service: Service) -> None:
    """The engine's own health check passes, and the engine has found one to run."""
    assert service.engine.podman("healthcheck", "run", service.name).returncode == 0


def test_it_has_no_rights(service: Service) -> None:
    """No root, no capability, no way to gain one, and a root file system that takes nothing."""
    status = service.inside("cat", "/proc/1/status")
    assert re.search(r"^Uid:(\s+10001){4}$", status, re.MULTILINE)
    assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE)
    done = service.engine.podman("exec", service.name, "touch", "/opt/whisperlive/x", check=False)
    assert "Read-only file system" in done.stderr


def test_only_the_volumes_can_be_written(engine: Containers) -> None:
    """Even where the root file system is not read-only, our user owns nothing of the program."""
    find = ("/", "-xdev", "-writable", "-not", "-type", "l")
    options = ("--read-only=false", "--entrypoint=find")
    # find complains of directories that it may not even read.
    found = engine.run(*find, options=options, check=False).stdout.split()
    given = ("/proc", "/dev", "/sys", "/tmp", "/var/tmp", "/run/lock")  # noqa: S108 (looked at, not used)
    ours = {path for path in found if not path.startswith(given)}
    assert ours == {"/app/models", "/cache", "/data"}


def test_it_serves_as_whoever_it_is_told_to_be(engine: Containers) -> None:
    """A user id that the image does not know, with the root group, works: jobs and models too."""
    with run_container(engine, "stranger", STRANGER) as service:
        assert transcribe_file(service, sample_clip().read_bytes()) == ENGLISH
        service.inside("touch", "/cache/x", "/app/models/x")
        assert "jobs.db" in service.inside("ls", "/data")
        assert service.stop() == 0


async def test_sigterm_completes_live_text(engine: Containers, speech: Samples) -> None:
    """Stopping a container gives a client in mid-sentence its words and 1012, and exits with 0."""
    with run_container(engine, "drained") as service:
        async with connect(service.server.live_url, proxy=None, compression=None) as socket:
            client = LiveClient(socket)
            await client.greet()
            await client.say(speech)
            await client.wait_for_text()
            engine.podman("kill", "--signal=TERM", service.name)
            await client.rest()
        assert wait_for_exit(service.server) == 0
    assert client.closed_with == 1012
    assert client.text.endswith("Maria wants soup.")


def test_a_command_that_waits_can_be_stopped(engine: Containers) -> None:
    """SIGTERM ends what does not listen for it, though it is all that runs in the container."""
    engine.start_detached("waiting", *DEMO_TRANSCRIBE, "-", options=("--interactive",))
    engine.podman("exec", "waiting", "true")
    engine.podman("stop", "--time=60", "waiting")
    code = engine.podman("inspect", "waiting", "--format={{.State.ExitCode}}").stdout
    assert int(code) == 128 + signal.SIGTERM


@dataclass(frozen=True, slots=True)
class Job:
    """A job of a server."""

    url: str

    def events(self) -> Iterator[dict[str, Any]]:
        """What its stream tells."""
        with httpx.stream("GET", f"{self.url}/events", timeout=60) as reply:
            for line in reply.iter_lines():
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))


def test_jobs_survive_with_their_volume(engine: Containers, clips: list[Clip]) -> None:
    """A job in the middle of its file goes on in the next container, and ends as if undisturbed."""
    talk = write_wav(np.concatenate([c.samples for c in clips if c.language == "en"] * 3))
    volume = "--volume=jobs:/data"
    with run_container(engine, "first", volume) as service:
        form = {"language": "en"}
        jobs = f"{service.server.http_url}/v1/jobs"
        job_id = httpx.post(jobs, files={"file": talk}, data=form).json()["id"]
        next(each for each in Job(f"{jobs}/{job_id}").events() if each["job"]["progress"]["done"])
        assert service.stop() == 0
    with run_container(engine, "second", volume) as service:
        last = list(Job(f"{service.server.http_url}/v1/jobs/{job_id}").events())[-1]
        assert last["type"] == "job.completed"
        assert last["job"]["text"].strip() == transcribe_file(service, talk)
        assert service.stop() == 0
    engine.podman("volume", "rm", "jobs")


def test_every_subcommand_can_be_named(engine: Containers) -> None:
    """What follows the image's name goes to `whisperlive`; a fault is a line and an exit code."""
    assert engine.run("version").stdout.strip() == __version__
    clip = f"--volume={sample_clip()}:/clip.flac:ro"
    assert engine.run(*DEMO_TRANSCRIBE, "/clip.flac", options=(clip,)).stdout.strip() == ENGLISH
    assert engine.run("keys", "make", "captions").stdout.startswith("wlk_")
    refused = engine.run(*DEMO_TRANSCRIBE, "/nothing.flac", check=False)
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr


def test_a_directory_under_app_models_is_a_model(engine: Containers) -> None:
    """What an operator mounts there can be named, read-only."""
    demo = sample_clip().parent.parent / "demo"
    mounted = f"--volume={demo}:/app/models/mine:ro"
    assert "mine" in engine.run("models", options=(mounted,)).stdout
    clip = f"--volume={sample_clip()}:/clip.flac:ro"
    done = engine.run("transcribe", "--model", "mine", "/clip.flac", options=(mounted, clip))
    assert done.stdout.strip() == ENGLISH


def test_it_is_lean(engine: Containers) -> None:
    """No compiler, no installer, no cache; and its size is known."""
    wanted = ("cc", "gcc", "ld", "pip", "pip3", "curl", "git")
    look = f"for each in {' '.join(wanted)}; do command -v $each; done; ls /var/lib/apt/lists"
    options = ("--entrypoint=sh",)
    assert engine.run("-c", look, options=options, check=False).stdout == ""
    (size,) = engine.podman("image", "inspect", IMAGE, "--format={{.Size}}").stdout.split()
    print(f"The image takes {int(size) / 1e6:.0f} MB.")  # noqa: T201 (for whoever builds it)
    assert int(size) < LARGEST_MB * 1e6


def test_it_says_what_it_is(engine: Containers) -> None:
    """User, stop signal and labels can be read without starting it."""
    (found,) = json.loads(engine.podman("image", "inspect", IMAGE).stdout)
    config = found["Config"]
    assert config["User"] == "10001:10001"
    assert config["StopSignal"] == "SIGTERM"
    assert set(config["Volumes"]) == {"/app/models", "/cache", "/data"}
    assert config["Labels"]["org.opencontainers.image.title"] == "WhisperLive Hybrid Server"

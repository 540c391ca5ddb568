"""`python -m build` makes a package that installs and serves in an empty environment."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email.parser import BytesParser
from pathlib import Path

import httpx
import pytest
from paths import CLIPS, ROOT
from running_server import Server, start_server, wait_for_exit

from whisperlive_hybrid import __version__

pytestmark = [pytest.mark.wheel, pytest.mark.timeout(900), pytest.mark.enable_socket]

CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the sources that git tracks, by way of the source distribution."""
    source, dist = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    listing = ["git", "ls-files", "-z"]
    tracked = subprocess.run(listing, cwd=ROOT, capture_output=True, check=True, text=True)
    for name in filter(None, tracked.stdout.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "build", "--outdir", str(dist), str(source)]
    subprocess.run(command, env=CLEAN, check=True)
    [built] = dist.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def server(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of the installed wheel, which sees nothing of this checkout."""
    place = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", str(place / "venv")], check=True)
    pip = [str(place / "venv/bin/pip"), "install", "--quiet", "--disable-pip-version-check"]
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    subprocess.run([*pip, *constraints, str(wheel)], env=CLEAN, cwd=place, check=True)
    program = (str(place / "venv/bin/whisperlive"),)
    serving = start_server(place / "data", program=program)
    yield serving
    serving.process.terminate()
    assert wait_for_exit(serving) == 0


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    """Version and licence; and the package alone, without tests or tools."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        [metadata] = [name for name in names if name.endswith(".dist-info/METADATA")]
        about = BytesParser().parsebytes(archive.read(metadata))
    assert about["Name"] == "whisperlive-hybrid-server"
    assert about["Version"] == __version__
    assert about["License-Expression"] == "MIT"
    assert any(name.endswith("LICENSE") for name in names)
    assert "Home-page" not in about
    assert {name.split("/")[0] for name in names} == {
        "whisperlive_hybrid",
        f"whisperlive_hybrid_server-{__version__}.dist-info",
    }


def test_the_installed_wheel_serves(server: Server) -> None:
    """The web page, and the text of a recording by the model that ships with it."""
    with httpx.Client(base_url=server.http_url, timeout=60) as http:
        assert http.get("/health").json()["status"] == "healthy"
        assert "<html" in http.get("/", headers={"accept": "text/html"}).text
        clip = CLIPS / "en-0.flac"
        with clip.open("rb") as file:
            reply = http.post(
                "/v1/audio/transcriptions", files={"file": file}, data={"language": "en"}
            )
    assert reply.status_code == 200
    assert len(reply.json()["text"].split()) > 3

"""Batches through a real server with the demo model: the law of one text, and lost servers."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from command_line import whisperlive
from paths import CLIPS
from running_server import Server, start_server, wait_for_exit


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`whisperlive serve`, on free ports."""
    server = start_server(tmp_path_factory.mktemp("data"), WHISPERLIVE_MAX_UPLOAD_MB="1")
    yield server
    server.process.terminate()
    wait_for_exit(server)


@pytest.fixture(scope="module")
def talks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings in three languages, one of silence, one that is none."""
    directory = tmp_path_factory.mktemp("talks")
    for clip in ("en-long-0.flac", "de-1.flac", "es-long-0.flac", "silence.flac"):
        shutil.copy(CLIPS / clip, directory)
    (directory / "noise.mp3").write_text("this is no audio")
    return directory


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--words", "--language", "en", "--prompt", "Peter", "--hotwords", "soup"],
        ["--multilingual", "--language-detection-threshold", "0.6"],
        ["--task", "translate", "--max-words-per-line", "2"],
        ["--max-line-width", "20", "--max-line-count", "1", "--highlight-words"],
    ],
)
def test_a_server_writes_the_same_bytes(
    served: Server, talks: Path, tmp_path: Path, options: list[str]
) -> None:
    """Every format, with every option that both ways take; and nothing stays on the server."""
    arguments = ["transcribe", str(talks), "--format", "txt,srt,vtt,json", *options]
    here, there = tmp_path / "here", tmp_path / "there"
    local = whisperlive(*arguments, "--output-dir", str(here))
    remote = whisperlive(*arguments, "--output-dir", str(there), "--jobs-url", served.http_url)
    assert (local.returncode, remote.returncode) == (1, 1)
    error = "noise.mp3: The audio file could not be decoded or its format is not supported."
    assert error in local.stderr
    assert error in remote.stderr
    written = {file.name: file.read_bytes() for file in here.iterdir() if file.name[0] != "."}
    assert len(written) == 4 * 4
    assert written == {
        file.name: file.read_bytes() for file in there.iterdir() if file.name[0] != "."
    }
    assert httpx.get(f"{served.http_url}/v1/jobs").json()["data"] == []


def test_a_recording_that_is_too_large_is_one_failure(
    served: Server, talks: Path, tmp_path: Path
) -> None:
    """The server says so before it has read it, and the batch goes on."""
    large = tmp_path / "large.wav"
    large.write_bytes(bytes(20_000_000))
    done = whisperlive(
        "transcribe", str(large), str(talks / "de-1.flac"), "--jobs-url", served.http_url
    )
    assert done.returncode == 1
    assert "large.wav: Maximum content size limit" in done.stderr
    assert "1 done, 1 failed; " in done.stderr


def test_a_model_that_is_not_offered_is_one_line(served: Server, talks: Path) -> None:
    """Not one for each recording."""
    done = whisperlive("transcribe", str(talks), "--jobs-url", served.http_url, "--model", "no")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: The model 'no' does not exist")
    assert done.stderr.count("\n") == 1

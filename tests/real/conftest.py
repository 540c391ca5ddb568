"""A server with real weights, and recordings of people."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from real_helpers import Recording
from running_server import Server, start_server, wait_for_exit


@pytest.fixture(scope="session")
def recordings(speech_dir: Path) -> dict[str, Recording]:
    """The recordings with a reference text, by their ids."""
    lines = (speech_dir / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    return {
        row["id"]: Recording(speech_dir / row["file"], row["language"], row["text"], row["seconds"])
        for row in map(json.loads, lines)
        if row.get("text")
    }


@pytest.fixture(scope="session")
def models(real_model_dir: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with base and tiny.en; wherever they are, they are called by their names."""
    directory = tmp_path_factory.mktemp("models")
    for name in ("base", "tiny.en"):
        (directory / name).symlink_to(real_model_dir(name), target_is_directory=True)
    return directory


@pytest.fixture(scope="session")
def server(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with base, which offers tiny.en too."""
    data = tmp_path_factory.mktemp("data")
    running = start_server(
        data,
        data / "log",
        FASTERWHISPER_MODEL="base",
        WHISPERLIVE_MODELS_DIR=str(models),
        WHISPERLIVE_LOG_FORMAT="json",
    )
    yield running
    running.process.terminate()
    wait_for_exit(running)
    shutil.rmtree(data)

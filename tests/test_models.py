import json
import shutil
from pathlib import Path

import pytest

from whisperlive_hybrid import models
from whisperlive_hybrid.backends.ct2 import Ct2Backend
from whisperlive_hybrid.errors import BadRequest, ModelUnavailable
from whisperlive_hybrid.model_formats import (
    CTRANSLATE2,
    OPENVINO,
    TENSORRT,
    ModelFormat,
    format_for,
)
from whisperlive_hybrid.models import (
    CARD_FILE,
    DEMO,
    ModelCard,
    find_model,
    local_models,
    model_sizes,
    write_card,
)


def refusal(name: str) -> str:
    """Why a model cannot be used: always one line."""
    with pytest.raises(ModelUnavailable) as caught:
        Ct2Backend(find_model(name), device="cpu")
    assert "\n" not in caught.value.message
    return caught.value.message


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the demo model for a test to spoil."""
    directory = tmp_path / "mine"
    directory.mkdir()
    for file in find_model(DEMO).directory.iterdir():
        (directory / file.name).write_bytes(file.read_bytes())
    return directory


def test_the_demo_model_is_in_the_package() -> None:
    """The first run needs no network, and the model says what it is."""
    found = find_model(DEMO)
    assert found.name == "demo"
    assert found.card.longest_window_s == 10.0
    assert "demonstration" in found.card.note


def test_a_directory_is_called_by_its_name(copied: Path) -> None:
    """People never see the path of a model."""
    found = find_model(str(copied))
    assert (found.name, found.directory) == ("mine", copied)


def test_a_bare_name_is_looked_up_where_models_are_kept(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Earlier deployments mounted their models in one directory."""
    monkeypatch.setattr(models, "MODELS_DIRECTORY", copied.parent)
    assert find_model("mine").directory == copied


def test_a_model_without_a_card_is_taken_carefully(copied: Path) -> None:
    """Nothing is known of it: full windows, full context."""
    (copied / CARD_FILE).unlink()
    card = find_model(str(copied)).card
    assert card == ModelCard()
    assert (card.longest_window_s, card.contexts_s) == (30.0, (30.0,))


@pytest.mark.parametrize(
    ("shortest_s", "contexts_s"),
    [
        (5.0, (5.0, 7.5, 10.0, 15.0, 20.0, 30.0)),
        (9.0, (10.0, 15.0, 20.0, 30.0)),
        (30.0, (30.0,)),
    ],
)
def test_a_card_says_which_contexts_are_safe(
    shortest_s: float, contexts_s: tuple[float, ...]
) -> None:
    """Contexts come from one short list, so that streams can share a batch, up to the full."""
    assert ModelCard(shortest_context_s=shortest_s).contexts_s == contexts_s


@pytest.mark.parametrize(
    "card", ["", "not json", "[]", '{"longest_window": 10}', '{"longest_window_s": 31}', "\xff"]
)
def test_a_wrong_card_is_refused(copied: Path, card: str) -> None:
    """A card that cannot be understood is not guessed at."""
    (copied / CARD_FILE).write_text(card, encoding="latin-1")
    message = refusal(str(copied))
    assert CARD_FILE in message
    assert "'mine'" in message
    assert str(copied.parent) not in message


def test_a_wrong_card_says_what_is_wrong(copied: Path) -> None:
    """The field at fault is named, not only that there is one."""
    (copied / CARD_FILE).write_text(json.dumps({"longest_window_s": 31}), encoding="utf-8")
    assert "longest_window_s" in refusal(str(copied))


@pytest.mark.parametrize("missing", ["model.bin", "tokenizer.json", "vocabulary.json"])
def test_a_model_with_a_missing_file_is_refused(copied: Path, missing: str) -> None:
    """The operator reads which file is missing, and no path."""
    (copied / missing).unlink()
    message = refusal(str(copied))
    assert missing.split(".", maxsplit=1)[0] in message
    assert str(copied.parent) not in message


@pytest.mark.parametrize("garbage", ["model.bin", "tokenizer.json", "vocabulary.json"])
def test_a_model_with_a_garbled_file_is_refused(copied: Path, garbage: str) -> None:
    """A broken download is no traceback."""
    (copied / garbage).write_bytes(b"\x00garbage\xff" * 40)
    message = refusal(str(copied))
    assert "'mine'" in message or garbage in message
    assert str(copied.parent) not in message


def test_a_directory_that_is_not_there_is_named_as_typed() -> None:
    """The only path in a message is the one that the operator typed."""
    assert refusal("/no/such/model") == "There is no model directory '/no/such/model'."


@pytest.mark.parametrize("name", ["enormous", "", "smal"])
def test_an_unknown_name_is_answered_with_the_known_ones(name: str) -> None:
    """The message lists what may be asked for."""
    message = refusal(name)
    assert f"Unknown model {name!r}" in message
    assert "large-v3" in message


def test_sizes_are_those_that_can_be_downloaded() -> None:
    """The list is faster-whisper's."""
    assert {"tiny", "base", "small", "medium", "large-v3"} <= set(model_sizes())


@pytest.mark.parametrize("name", ["tiny", "somebody/some-whisper"])
def test_without_a_network_the_answer_is_one_line(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Offline, a model that is not in the cache is refused with what to do."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    message = refusal(name)
    assert f"Model {name!r} is not on this machine" in message
    assert "--model demo" in message
    assert str(tmp_path) not in message


def test_a_card_of_the_operators_replaces_the_one_in_the_directory(
    copied: Path, tmp_path: Path
) -> None:
    """So a model in a cache or on a volume that cannot be written to has a card too."""
    card = tmp_path / "card.json"
    card.write_text(json.dumps({"shortest_context_s": 7.5}), encoding="utf-8")
    assert find_model(str(copied), card).card == ModelCard(shortest_context_s=7.5)
    assert find_model(DEMO, card).card.shortest_context_s == 7.5


def test_a_card_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    """A wrong path is told, not taken for no card at all."""
    with pytest.raises(ModelUnavailable, match=r"no model card .*WHISPERLIVE_MODEL_CARD"):
        find_model(DEMO, tmp_path / "card.json")


def test_a_wrong_card_is_named(tmp_path: Path) -> None:
    """The operator reads which of the cards is at fault."""
    card = tmp_path / "mine.json"
    card.write_text("[]", encoding="utf-8")
    with pytest.raises(ModelUnavailable, match=r"card mine\.json of model 'demo'"):
        find_model(DEMO, card)


def test_writing_a_card_keeps_what_it_said(copied: Path) -> None:
    """Only what is new changes, and nothing is written that nobody has said."""
    file = copied / CARD_FILE
    file.write_text(json.dumps({"longest_window_s": 12, "note": "Größe"}), encoding="utf-8")
    card = find_model(str(copied)).card
    write_card(file, card.model_copy(update={"shortest_context_s": 7.5}))
    assert json.loads(file.read_text(encoding="utf-8")) == {
        "longest_window_s": 12,
        "note": "Größe",
        "shortest_context_s": 7.5,
    }
    assert find_model(str(copied)).card.contexts_s == (7.5, 10.0, 15.0, 20.0, 30.0)
    assert len(list(copied.iterdir())) == len(list(find_model(DEMO).directory.iterdir()))


def test_a_card_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    """The operator reads that it may lie elsewhere."""
    with pytest.raises(BadRequest, match=r"cannot be written to .* --card") as refusal:
        write_card(tmp_path / "nowhere" / CARD_FILE, ModelCard())
    assert "\n" not in refusal.value.message


def refusal_of(name: str, form: ModelFormat) -> str:
    """Why there is no such model in this format."""
    with pytest.raises(ModelUnavailable) as caught:
        find_model(name, form=form)
    assert "\n" not in caught.value.message
    return caught.value.message


def test_a_model_in_another_format_is_told_with_its_backend(
    copied: Path, openvino_directory: Path
) -> None:
    """The operator reads which backend to use, or how to make a model for this one."""
    message = refusal_of(str(copied), OPENVINO)
    assert "'mine' is in CTranslate2's format, not OpenVINO's" in message
    assert "--backend faster_whisper" in message
    assert "optimum-cli export openvino" in message
    message = refusal_of(str(openvino_directory), CTRANSLATE2)
    assert "'demo' is in OpenVINO's format, not CTranslate2's" in message
    assert "--backend openvino" in message
    assert "ct2-transformers-converter" in message


def test_a_directory_in_no_format_is_told_what_is_missing(tmp_path: Path) -> None:
    """By the first file that the backend needs."""
    assert "no openvino_encoder_model.bin" in refusal_of(str(tmp_path), OPENVINO)
    assert "no model.bin" in refusal_of(str(tmp_path), CTRANSLATE2)


def test_the_size_of_a_model_is_that_of_all_its_weights(openvino_directory: Path) -> None:
    """Both halves count against the memory budget."""
    weights = [file.stat().st_size for file in openvino_directory.glob("*.bin")]
    assert len(weights) == 2
    assert find_model(str(openvino_directory), form=OPENVINO).size == sum(weights)


def test_sizes_are_names_for_one_format_only() -> None:
    """Nobody guesses which repository of the hub holds an OpenVINO "small"."""
    message = refusal_of("small", OPENVINO)
    assert "Unknown model 'small'" in message
    assert "Hugging Face id" in message


@pytest.mark.parametrize("name", ["small", "openai/whisper-small"])
def test_engines_are_not_looked_for_on_the_hub(name: str) -> None:
    """They run on the kind of GPU that they were built on; the operator reads how to build them."""
    message = refusal_of(name, TENSORRT)
    assert f"Unknown model {name!r}. With backend tensorrt, use an absolute path" in message
    assert "trtllm-build" in message


def test_an_openvino_model_of_the_hub_is_looked_for_in_its_cache(
    openvino_directory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Offline, one that was downloaded before is found, and another is refused in one line."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    snapshots = tmp_path / "models--OpenVINO--whisper-base-int8-ov"
    (snapshots / "refs").mkdir(parents=True)
    (snapshots / "refs" / "main").write_text("0" * 40)
    shutil.copytree(openvino_directory, snapshots / "snapshots" / ("0" * 40))
    found = find_model("OpenVINO/whisper-base-int8-ov", form=OPENVINO)
    assert found.directory == snapshots / "snapshots" / ("0" * 40)
    message = refusal_of("OpenVINO/whisper-tiny-int8-ov", OPENVINO)
    assert "is not on this machine and HF_HUB_OFFLINE keeps it from being downloaded" in message
    assert str(tmp_path) not in message


def test_local_models_are_listed_with_their_format(
    copied: Path,
    openvino_directory: Path,
    tensorrt_directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Directories that hold no model are passed over."""
    place = tmp_path / "models"
    shutil.copytree(copied, place / "one")
    shutil.copytree(openvino_directory, place / "two")
    shutil.copytree(tensorrt_directory, place / "three")
    (place / "four").mkdir()
    monkeypatch.setattr(models, "MODELS_DIRECTORY", place)
    assert local_models() == [
        ("one", CTRANSLATE2),
        ("three", TENSORRT),
        ("two", OPENVINO),
    ]


def test_each_backend_names_its_format() -> None:
    """The fake needs no files; it is given CTranslate2's, which the demo model has."""
    assert format_for("faster_whisper") is CTRANSLATE2
    assert format_for("openvino") is OPENVINO
    assert format_for("tensorrt") is TENSORRT
    assert format_for("fake") is CTRANSLATE2

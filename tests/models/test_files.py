import json
from pathlib import Path

import pytest

from whisperlive_hybrid.backends.ctranslate2 import Ct2Backend
from whisperlive_hybrid.errors import BadRequest, ModelUnavailable
from whisperlive_hybrid.models.files import (
    CARD_FILE,
    ModelCard,
    demo_model,
    load_model_files,
    write_card,
)
from whisperlive_hybrid.models.formats import (
    CTRANSLATE2,
    OPENVINO,
    TENSORRT,
    ModelFormat,
    get_format,
)


def refusal(directory: Path, form: ModelFormat = CTRANSLATE2) -> str:
    """Return the message for an unusable directory: one line."""
    with pytest.raises(ModelUnavailable) as caught:
        Ct2Backend(load_model_files(directory, form=form), device="cpu")
    assert "\n" not in caught.value.message
    return caught.value.message


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the demo model for a test to spoil."""
    directory = tmp_path / "mine"
    directory.mkdir()
    for file in demo_model().directory.iterdir():
        (directory / file.name).write_bytes(file.read_bytes())
    return directory


def test_the_demo_model_is_in_the_package() -> None:
    """The first run needs no network, and the model says what it is."""
    found = demo_model()
    assert found.name == "demo"
    assert found.card.longest_window_s == 10.0
    assert "demonstration" in found.card.note


def test_a_directory_is_called_by_its_name(copied: Path) -> None:
    """People never see the path of a model."""
    found = load_model_files(copied)
    assert (found.name, found.directory) == ("mine", copied)


def test_a_model_without_a_card_is_taken_carefully(copied: Path) -> None:
    """Nothing is known of it: full windows, full context."""
    (copied / CARD_FILE).unlink()
    card = load_model_files(copied).card
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
    message = refusal(copied)
    assert CARD_FILE in message
    assert "'mine'" in message
    assert str(copied.parent) not in message


def test_a_wrong_card_says_what_is_wrong(copied: Path) -> None:
    """The field at fault is named, not only that there is one."""
    (copied / CARD_FILE).write_text(json.dumps({"longest_window_s": 31}), encoding="utf-8")
    assert "longest_window_s" in refusal(copied)


@pytest.mark.parametrize("missing", ["model.bin", "tokenizer.json", "vocabulary.json"])
def test_a_model_with_a_missing_file_is_refused(copied: Path, missing: str) -> None:
    """The operator reads which file is missing, and no path."""
    (copied / missing).unlink()
    message = refusal(copied)
    assert missing.split(".", maxsplit=1)[0] in message
    assert str(copied.parent) not in message


@pytest.mark.parametrize("garbage", ["model.bin", "tokenizer.json", "vocabulary.json"])
def test_a_model_with_a_garbled_file_is_refused(copied: Path, garbage: str) -> None:
    """A broken download is no traceback."""
    (copied / garbage).write_bytes(b"\x00garbage\xff" * 40)
    message = refusal(copied)
    assert "'mine'" in message or garbage in message
    assert str(copied.parent) not in message


def test_a_directory_that_is_not_there_is_named_as_typed() -> None:
    """The only path in a message is the one that the operator typed."""
    assert refusal(Path("/no/such/model")) == "There is no model directory '/no/such/model'."


def test_a_card_of_the_operators_replaces_the_one_in_the_directory(
    copied: Path, tmp_path: Path
) -> None:
    """So a model in a cache or on a volume that cannot be written to has a card too."""
    card = tmp_path / "card.json"
    card.write_text(json.dumps({"shortest_context_s": 7.5}), encoding="utf-8")
    assert load_model_files(copied, card_file=card).card == ModelCard(shortest_context_s=7.5)
    assert demo_model(card).card.shortest_context_s == 7.5


def test_a_card_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    """A wrong path is an error, not the same as no card."""
    with pytest.raises(ModelUnavailable, match=r"no model card .*WHISPERLIVE_MODEL_CARD"):
        demo_model(tmp_path / "card.json")


def test_a_wrong_card_is_named(tmp_path: Path) -> None:
    """The operator reads which of the cards is at fault."""
    card = tmp_path / "mine.json"
    card.write_text("[]", encoding="utf-8")
    with pytest.raises(ModelUnavailable, match=r"card mine\.json of model 'demo'"):
        demo_model(card)


def test_writing_a_card_keeps_what_it_said(copied: Path) -> None:
    """Only the new field changes, and no defaults are written."""
    file = copied / CARD_FILE
    file.write_text(json.dumps({"longest_window_s": 12, "note": "Größe"}), encoding="utf-8")
    card = load_model_files(copied).card
    write_card(file, card.model_copy(update={"shortest_context_s": 7.5}))
    assert json.loads(file.read_text(encoding="utf-8")) == {
        "longest_window_s": 12,
        "note": "Größe",
        "shortest_context_s": 7.5,
    }
    assert load_model_files(copied).card.contexts_s == (7.5, 10.0, 15.0, 20.0, 30.0)
    assert len(list(copied.iterdir())) == len(list(demo_model().directory.iterdir()))


def test_a_card_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    """The operator reads that it may lie elsewhere."""
    with pytest.raises(BadRequest, match=r"cannot be written to .* --card") as refusal:
        write_card(tmp_path / "nowhere" / CARD_FILE, ModelCard())
    assert "\n" not in refusal.value.message


def test_a_model_in_another_format_is_refused_with_its_backend(
    copied: Path, openvino_directory: Path
) -> None:
    """The operator reads which backend to use, or how to make a model for this one."""
    message = refusal(copied, OPENVINO)
    assert "'mine' is in CTranslate2's format, not OpenVINO's" in message
    assert "--backend faster_whisper" in message
    assert "optimum-cli export openvino" in message
    message = refusal(openvino_directory)
    assert "'demo' is in OpenVINO's format, not CTranslate2's" in message
    assert "--backend openvino" in message
    assert "ct2-transformers-converter" in message


def test_a_directory_in_no_format_is_refused_with_the_missing_file(tmp_path: Path) -> None:
    """By the first file that the backend needs."""
    assert "no openvino_encoder_model.bin" in refusal(tmp_path, OPENVINO)
    assert "no model.bin" in refusal(tmp_path)


def test_the_size_of_a_model_is_that_of_all_its_weights(openvino_directory: Path) -> None:
    """Both halves count against the memory budget."""
    weights = [file.stat().st_size for file in openvino_directory.glob("*.bin")]
    assert len(weights) == 2
    assert load_model_files(openvino_directory, form=OPENVINO).size == sum(weights)


def test_each_backend_names_its_format() -> None:
    """The fake needs no files; it is given CTranslate2's, which the demo model has."""
    assert get_format("faster_whisper") is CTRANSLATE2
    assert get_format("openvino") is OPENVINO
    assert get_format("tensorrt") is TENSORRT
    assert get_format("fake") is CTRANSLATE2

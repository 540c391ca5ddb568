import json
from pathlib import Path

import pytest

from whisperlive_hybrid.backends.openvino.loading import ExportedSettings
from whisperlive_hybrid.errors import ModelUnavailable

CONFIG = {
    "num_mel_bins": 80,
    "decoder_layers": 4,
    "decoder_attention_heads": 2,
    "max_target_positions": 448,
    "vocab_size": 51865,
    "something": "else",
}


def settings(directory: Path, config: object, generation: object | None = None) -> ExportedSettings:
    """Written and read again."""
    (directory / "config.json").write_text(json.dumps(config))
    if generation is not None:
        (directory / "generation_config.json").write_text(json.dumps(generation))
    return ExportedSettings(directory)


def test_alignment_heads_are_grouped_by_layer(tmp_path: Path) -> None:
    """The heads of the file, in any order."""
    parsed = settings(tmp_path, CONFIG, {"alignment_heads": [[3, 1], [2, 0], [3, 0]]})
    assert parsed.alignment_heads == {2: (0,), 3: (0, 1)}


@pytest.mark.parametrize("generation", [None, {}, {"alignment_heads": None}])
def test_without_measured_heads_the_upper_half_is_taken(
    tmp_path: Path, generation: object | None
) -> None:
    """openai/whisper does the same for models without alignment heads."""
    parsed = settings(tmp_path, CONFIG, generation)
    assert parsed.alignment_heads == {2: (0, 1), 3: (0, 1)}


@pytest.mark.parametrize(
    ("vocab_size", "generation", "is_multilingual"),
    [
        (51865, None, True),
        (51864, None, False),
        (51866, {}, True),
        (51865, {"is_multilingual": False}, False),
        (2982, {"is_multilingual": True}, True),
    ],
)
def test_an_english_only_model_is_known(
    tmp_path: Path, vocab_size: int, generation: object | None, *, is_multilingual: bool
) -> None:
    """By the value in the file, or else by the size of the vocabulary."""
    parsed = settings(tmp_path, {**CONFIG, "vocab_size": vocab_size}, generation)
    assert parsed.is_multilingual == is_multilingual


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The operator reads which file is missing, and no path."""
    with pytest.raises(ModelUnavailable, match=r"^The model directory has no config\.json\.$"):
        ExportedSettings(tmp_path)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({**CONFIG, "decoder_layers": "many"}, "decoder_layers"),
        ({}, "num_mel_bins"),
        ([], "config.json is invalid"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, config: object, words: str) -> None:
    """The field at fault is named."""
    with pytest.raises(ModelUnavailable, match=words) as refusal:
        settings(tmp_path, config)
    assert "\n" not in refusal.value.message

import json
from pathlib import Path
from typing import Any

import pytest
from trt_double.directory import decoder_config, encoder_config

from whisperlive_hybrid.backends.tensorrt.config import EngineSettings
from whisperlive_hybrid.errors import ModelUnavailable

Change = tuple[str, str, object]
"""(encoder or decoder, keys with dots, value)."""


def settings(directory: Path, *changes: Change) -> EngineSettings:
    """The demo model's engines, but for the changes."""
    configs: dict[str, Any] = {"encoder": encoder_config(), "decoder": decoder_config()}
    for part, keys, value in changes:
        *outer, last = keys.split(".")
        place = configs[part]
        for key in outer:
            place = place[key]
        place[last] = value
    for part, config in configs.items():
        (directory / part).mkdir()
        (directory / part / "config.json").write_text(json.dumps(config))
    return EngineSettings(directory, "mine")


def test_says_what_the_engines_are(tmp_path: Path) -> None:
    """Bands, type of number, vocabulary and rooms come from the two files."""
    parsed = settings(tmp_path)
    assert (parsed.n_mels, parsed.dtype, parsed.vocab_size) == (80, "float16", 2982)
    assert (parsed.text_positions, parsed.text_room, parsed.max_batch) == (448, 448, 8)
    assert (parsed.frames, parsed.version, parsed.is_multilingual) == (3000, "1.2.1", True)
    assert parsed.takes_prompts
    assert parsed.longest_window_s == 30.0


def test_an_english_only_vocabulary_is_recognised_by_its_size(tmp_path: Path) -> None:
    """As in upstream."""
    assert not settings(
        tmp_path, ("decoder", "pretrained_config.vocab_size", 51864)
    ).is_multilingual


@pytest.mark.parametrize(
    ("max_seq_len", "max_input_len", "window_s", "takes_prompts"),
    [
        (448, 225, 30.0, True),
        (448, 224, 30.0, False),
        (447, 225, 30.0, False),
        (200, 14, pytest.approx(26.4, abs=0.1), False),
        (114, 14, pytest.approx(14.9, abs=0.1), False),
    ],
    ids=["ours", "prompt cut", "answer cut", "WhisperLive's script", "NVIDIA's README"],
)
def test_an_engine_with_little_room_gets_short_windows_and_no_prompts(
    max_seq_len: int, max_input_len: int, window_s: object, takes_prompts: bool, tmp_path: Path
) -> None:
    """No text is cut off and no prompt shortened in silence: 224 tokens belong to 30 s."""
    parsed = settings(
        tmp_path,
        ("decoder", "build_config.max_seq_len", max_seq_len),
        ("decoder", "build_config.max_input_len", max_input_len),
    )
    assert parsed.longest_window_s == window_s
    assert parsed.takes_prompts == takes_prompts


def test_the_smaller_engine_bounds_the_batch(tmp_path: Path) -> None:
    """A call goes through both."""
    assert settings(tmp_path, ("encoder", "build_config.max_batch_size", 4)).max_batch == 4


@pytest.mark.parametrize(
    "change",
    [
        ("decoder", "build_config.plugin_config.paged_kv_cache", None),
        ("decoder", "build_config.kv_cache_type", None),
        ("decoder", "build_config.kv_cache_type", "paged"),
    ],
)
def test_a_paged_cache_is_declared_in_several_ways(change: Change, tmp_path: Path) -> None:
    """In the plugin, in the kind of the cache, or not at all, since it is the default."""
    settings(tmp_path, change)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("encoder", "pretrained_config.architecture", "T5"), "it is not a Whisper"),
        (("decoder", "pretrained_config.model_type", "bart"), "it is not a Whisper"),
        (("encoder", "pretrained_config.n_mels", None), "it is not a Whisper"),
        (("encoder", "pretrained_config.dtype", "fp8"), "it computes in 'fp8'"),
        (("decoder", "pretrained_config.mapping.world_size", 2), "several GPUs"),
        (("encoder", "version", "1.2.0"), "encoder was built with TensorRT-LLM 1.2.0"),
        (
            ("encoder", "build_config.plugin_config.remove_input_padding", False),
            "--remove_input_padding enable",
        ),
        (
            ("decoder", "build_config.plugin_config.remove_input_padding", False),
            "--remove_input_padding enable",
        ),
        (
            ("decoder", "build_config.plugin_config.paged_kv_cache", False),
            "--paged_kv_cache enable",
        ),
        (("decoder", "build_config.kv_cache_type", "CONTINUOUS"), "--paged_kv_cache enable"),
        (("encoder", "build_config.max_input_len", 1500), "built for 1500 frames"),
        (("decoder", "build_config.max_encoder_input_len", 1500), "built for 1500 frames"),
        (("decoder", "build_config.max_seq_len", 40), "has room for 40 tokens only"),
    ],
)
def test_engines_that_cannot_be_run_are_one_line(
    change: Change, problem: str, tmp_path: Path
) -> None:
    """The operator reads what is invalid, and how to build them."""
    with pytest.raises(ModelUnavailable) as refusal:
        settings(tmp_path, change)
    assert refusal.value.message.startswith("Model 'mine' cannot be loaded: ")
    assert problem in refusal.value.message
    assert "\n" not in refusal.value.message


def test_a_missing_config_file_is_named(tmp_path: Path) -> None:
    """`trtllm-build` writes one beside each engine."""
    with pytest.raises(ModelUnavailable, match=r"no encoder/config\.json"):
        EngineSettings(tmp_path, "mine")

"""Engine directories as upstream's `convert_checkpoint.py` and `trtllm-build` write them.

The files have what the stand-in and the backend look at, under the names that they have there
(examples/models/core/whisper/convert_checkpoint.py, commit 2a9abd9; tensorrt_llm/builder.py). The
engines themselves are text: the place of the models that answer instead.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from whisperlive_hybrid.models.files import CARD_FILE, demo_model

SITE = Path(__file__).with_name("site")
"""Where a process finds stand-ins for torch and TensorRT-LLM, if this is on its path."""


def encoder_config() -> dict[str, Any]:
    """That of the demo model, built for 30 s as upstream's README says."""
    return {
        "version": "1.2.1",
        "pretrained_config": {
            "architecture": "WhisperEncoder",
            "dtype": "float16",
            "vocab_size": 2982,
            "max_position_embeddings": 1500,
            "n_mels": 80,
            "mapping": {"world_size": 1, "tp_size": 1, "pp_size": 1},
        },
        "build_config": {
            "max_batch_size": 8,
            "max_input_len": 3000,
            "max_seq_len": 3000,
            "max_beam_width": 1,
            "kv_cache_type": None,
            "plugin_config": {"remove_input_padding": True, "paged_kv_cache": None},
        },
    }


def decoder_config() -> dict[str, Any]:
    """That of the demo model, built with room for prompts as docs/backends.md says."""
    return {
        "version": "1.2.1",
        "pretrained_config": {
            "architecture": "DecoderModel",
            "model_type": "whisper",
            "dtype": "float16",
            "logits_dtype": "float16",
            "vocab_size": 2982,
            "max_position_embeddings": 448,
            "mapping": {"world_size": 1, "tp_size": 1, "pp_size": 1},
        },
        "build_config": {
            "max_batch_size": 8,
            "max_input_len": 225,
            "max_seq_len": 448,
            "max_beam_width": 4,
            "max_encoder_input_len": 3000,
            "kv_cache_type": "PAGED",
            "plugin_config": {"remove_input_padding": True, "paged_kv_cache": True},
        },
    }


def write_engines(directory: Path, openvino_directory: Path) -> None:
    """The demo model as an engine directory, with the tokenizer and card that an operator adds."""
    for part, config in (("encoder", encoder_config()), ("decoder", decoder_config())):
        (directory / part).mkdir(parents=True)
        (directory / part / "config.json").write_text(json.dumps(config))
        (directory / part / "rank0.engine").write_text(str(openvino_directory))
    for name in ("tokenizer.json", CARD_FILE):
        shutil.copyfile(demo_model().directory / name, directory / name)

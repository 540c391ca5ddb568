"""Write a Hugging Face directory of a Whisper as a checkpoint of openai/whisper.

    python -m demo_model.to_openai [SRC_HF] OUT_DIR

OUT_DIR gets `tiny.pt`, which TensorRT-LLM's `convert_checkpoint.py --model_name tiny` reads, and
the tokenizer and card that belong into the engine directory. Only the writing needs torch.

That script takes every feed-forward layer to be four times as wide as the model, as OpenAI's are.
Narrower ones are filled with zeros, which compute nothing: gelu(0) is 0, and what follows gets it
with weight 0.
"""

import argparse
import json
import re
import shutil
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from demo_model.weights import CARD, SOURCE, Weights, read_safetensors

Matrix = npt.NDArray[np.float32]

TOKENIZER: Final = "tokenizer.json"

_NAMES: Final = (
    (r"^model\.", ""),
    (r"\blayers\.", "blocks."),
    (r"\bself_attn_layer_norm\b", "attn_ln"),
    (r"\bencoder_attn_layer_norm\b", "cross_attn_ln"),
    (r"\bfinal_layer_norm\b", "mlp_ln"),
    (r"\bself_attn\b", "attn"),
    (r"\bencoder_attn\b", "cross_attn"),
    (r"\bq_proj\b", "query"),
    (r"\bk_proj\b", "key"),
    (r"\bv_proj\b", "value"),
    (r"\bout_proj\b", "out"),
    (r"\bfc1\b", "mlp.0"),
    (r"\bfc2\b", "mlp.2"),
    (r"^encoder\.layer_norm\b", "encoder.ln_post"),
    (r"^decoder\.layer_norm\b", "decoder.ln"),
    (r"\bembed_tokens\b", "token_embedding"),
    (r"\bembed_positions\.weight$", "positional_embedding"),
)
"""Hugging Face's names to OpenAI's, one after another."""


def openai_name(name: str) -> str:
    """Return OpenAI's name of a tensor."""
    for theirs, ours in _NAMES:
        name = re.sub(theirs, ours, name)
    return name


def openai_weights(weights: Weights, width: int) -> Weights:
    """Rename all tensors, and pad feed-forward layers to four times `width`."""
    return {openai_name(name): _widen(name, weight, 4 * width) for name, weight in weights.items()}


def openai_sizes(settings: dict[str, Any]) -> dict[str, int]:
    """Return the sizes in a checkpoint for a model's config.json."""
    return {
        "n_mels": settings["num_mel_bins"],
        "n_vocab": settings["vocab_size"],
        "n_audio_ctx": settings["max_source_positions"],
        "n_audio_state": settings["d_model"],
        "n_audio_head": settings["encoder_attention_heads"],
        "n_audio_layer": settings["encoder_layers"],
        "n_text_ctx": settings["max_target_positions"],
        "n_text_state": settings["d_model"],
        "n_text_head": settings["decoder_attention_heads"],
        "n_text_layer": settings["decoder_layers"],
    }


def _widen(name: str, weight: Matrix, wanted: int) -> Matrix:
    axes = {"fc1.weight": 0, "fc1.bias": 0, "fc2.weight": 1}
    ending = ".".join(name.split(".")[-2:])
    if ending not in axes:
        return weight
    missing = [(0, 0)] * weight.ndim
    missing[axes[ending]] = (0, wanted - weight.shape[axes[ending]])
    return np.pad(weight, missing)


def main() -> None:
    """Convert with the options of the command line."""
    import torch  # noqa: PLC0415 (not installed where this module is tested)

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, nargs="?", default=SOURCE, metavar="SRC_HF")
    parser.add_argument("out", type=Path, metavar="OUT_DIR")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    settings = json.loads((arguments.source / "config.json").read_text(encoding="utf-8"))
    weights = read_safetensors(arguments.source / "model.safetensors")
    tensors = {
        name: torch.from_numpy(weight.copy())
        for name, weight in openai_weights(weights, settings["d_model"]).items()
    }
    checkpoint = {"dims": openai_sizes(settings), "model_state_dict": tensors}
    torch.save(checkpoint, arguments.out / "tiny.pt")
    shutil.copyfile(arguments.source / TOKENIZER, arguments.out / TOKENIZER)
    if arguments.source == SOURCE:
        shutil.copyfile(CARD, arguments.out / CARD.name)


if __name__ == "__main__":
    main()

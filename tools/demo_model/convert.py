"""Convert a checkpoint to a Hugging Face directory and that to CTranslate2 directories.

    python -m demo_model.convert CKPT.pt OUT_DIR [--heads '[[1,0],[1,1]]']

Writes OUT_DIR/hf and OUT_DIR/ct2-int8, ct2-float32 and ct2-float16.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import ctranslate2
import torch
from faster_whisper.tokenizer import Tokenizer as DecodingTokenizer
from tokenizers import Tokenizer
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

from demo_model.learner import load_average
from demo_model.network import AUDIO_POSITIONS, TEXT_POSITIONS, Shape, Whisper
from demo_model.spectrogram import N_MELS
from demo_model.tokenizer import DEFAULT_PATH, LANGUAGE_CODES, Vocabulary, token_id

QUANTIZATIONS = ("int8", "float32", "float16")
MEASURED_HEADS = [[1, 0], [1, 1], [2, 0], [2, 1]]  # by alignment_heads.py, [layer, head]
MAX_INITIAL_TIME_MARK = 50  # 1.00 s
NEVER_SPOKEN = (
    "transcribe",
    "translate",
    "startoftranscript",
    "startofprev",
    "startoflm",
    "nospeech",
)


def find_suppressed_tokens(tokenizer: Tokenizer) -> list[int]:
    """Return the tokens that decoding never writes: faster-whisper's symbols, and tasks."""
    decoding = DecodingTokenizer(tokenizer, True, task="transcribe", language="en")
    tasks = {token_id(tokenizer, f"<|{name}|>") for name in NEVER_SPOKEN}
    return sorted(set(decoding.non_speech_tokens) | tasks)


def to_hugging_face(
    model: Whisper, tokenizer: Tokenizer, heads: list[list[int]]
) -> WhisperForConditionalGeneration:
    """Return the same model in Hugging Face's classes, without the phone classifier."""
    vocabulary = Vocabulary.of(tokenizer)
    shared = {
        "suppress_tokens": find_suppressed_tokens(tokenizer),
        "begin_suppress_tokens": [tokenizer.encode(" ").ids[0], vocabulary.end],
        "bos_token_id": vocabulary.end,
        "eos_token_id": vocabulary.end,
        "pad_token_id": vocabulary.end,
        "decoder_start_token_id": vocabulary.start,
    }
    converted = WhisperForConditionalGeneration(WhisperConfig(**_sizes(model.shape), **shared))
    weights = {
        f"model.{name}": weight
        for name, weight in model.state_dict().items()
        if not name.startswith("phone")
    }
    differences = converted.load_state_dict(weights, strict=False)
    if differences.unexpected_keys or set(differences.missing_keys) - {"proj_out.weight"}:
        raise ValueError(f"the weights do not fit: {differences}")
    converted.tie_weights()
    converted.eval()
    converted.generation_config = GenerationConfig(
        **shared,
        alignment_heads=heads,
        is_multilingual=True,
        lang_to_id={f"<|{code}|>": token_id(tokenizer, f"<|{code}|>") for code in LANGUAGE_CODES},
        max_initial_timestamp_index=MAX_INITIAL_TIME_MARK,
        max_length=TEXT_POSITIONS,
        no_timestamps_token_id=vocabulary.no_timestamps,
        prev_sot_token_id=vocabulary.previous,
        return_timestamps=False,
        task_to_id={"transcribe": vocabulary.transcribe, "translate": vocabulary.translate},
    )
    return converted


def _sizes(shape: Shape) -> dict[str, Any]:
    return {
        "vocab_size": shape.vocabulary,
        "num_mel_bins": N_MELS,
        "d_model": shape.width,
        "encoder_layers": shape.encoder_layers,
        "decoder_layers": shape.decoder_layers,
        "encoder_attention_heads": shape.heads,
        "decoder_attention_heads": shape.heads,
        "encoder_ffn_dim": shape.encoder_feed_forward,
        "decoder_ffn_dim": shape.decoder_feed_forward,
        "max_source_positions": AUDIO_POSITIONS,
        "max_target_positions": TEXT_POSITIONS,
        "tie_word_embeddings": True,
    }


def write_tokenizer(tokenizer: dict[str, Any], folder: Path) -> None:
    """Write the tokenizer in all formats that loaders read."""
    model, added = tokenizer["model"], tokenizer["added_tokens"]
    merges = [" ".join(merge) if isinstance(merge, list) else merge for merge in model["merges"]]
    compact = json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":"))
    (folder / "tokenizer.json").write_text(compact, encoding="utf-8")
    vocabulary = json.dumps(model["vocab"], ensure_ascii=False)
    (folder / "vocab.json").write_text(vocabulary, encoding="utf-8")
    lines = "\n".join(["#version: 0.2", *merges, ""])
    (folder / "merges.txt").write_text(lines, encoding="utf-8")
    settings = json.dumps(_tokenizer_config(added), ensure_ascii=False)
    (folder / "tokenizer_config.json").write_text(settings, encoding="utf-8")


def _tokenizer_config(added: list[dict[str, Any]]) -> dict[str, Any]:
    end, *special = [token["content"] for token in added if token["special"]]
    described = ("content", "lstrip", "normalized", "rstrip", "single_word", "special")
    return {
        "tokenizer_class": "WhisperTokenizer",
        "processor_class": "WhisperProcessor",
        "bos_token": end,
        "eos_token": end,
        "unk_token": end,
        "pad_token": end,
        "add_prefix_space": False,
        "add_bos_token": False,
        "errors": "replace",
        "model_max_length": 1024,
        "additional_special_tokens": special,
        "added_tokens_decoder": {
            str(token["id"]): {name: token[name] for name in described} for token in added
        },
    }


def to_ctranslate2(source: Path, out: Path) -> None:
    """Convert a Hugging Face directory to each of `QUANTIZATIONS`."""
    for quantization in QUANTIZATIONS:
        converter = ctranslate2.converters.TransformersConverter(
            str(source), copy_files=["tokenizer.json", "preprocessor_config.json"]
        )
        folder = out / f"ct2-{quantization}"
        converter.convert(str(folder), quantization=quantization, force=True)
        size = sum(file.stat().st_size for file in folder.iterdir())
        print(f"{folder.name} {size / 1e6:.1f} MB")


def main() -> None:
    """Convert with the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path, metavar="CKPT.pt")
    parser.add_argument("out", type=Path, metavar="OUT_DIR")
    parser.add_argument("--heads", type=json.loads, default=MEASURED_HEADS)
    parser.add_argument("--tokenizer", type=Path, default=DEFAULT_PATH)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folder = arguments.out / "hf"
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.from_file(str(arguments.tokenizer))
    model = to_hugging_face(load_average(arguments.checkpoint), tokenizer, arguments.heads)
    model.save_pretrained(folder)
    write_tokenizer(json.loads(arguments.tokenizer.read_text(encoding="utf-8")), folder)
    WhisperFeatureExtractor(feature_size=N_MELS).save_pretrained(folder)
    to_ctranslate2(folder, arguments.out)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Give the demo model the shape, and so the cost, of a real Whisper model, with the same output.

    inflate_model.py SRC_HF OUT_DIR --shape tiny|base|small|medium [--quantization int8]

SRC_HF is a Hugging Face directory of the small demo model (width 128). The result is a CTranslate2
directory with the width, depth, heads and 51,865-token vocabulary of the named Whisper size, with
the real token ids (text below 50257, then the special tokens, then the time marks), that
transcribes exactly as the demo model does; rounding to int8 may move a time mark to its neighbour.
Benchmarks on it therefore have real transcripts at the real cost per window and per token.
demo_model/inflation.py explains how.

Needs torch, transformers, ctranslate2, tokenizers.
"""

import argparse
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ctranslate2
from demo_model.inflation import N_VOCABULARY, SHAPES, Inflater, Shape
from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

FIRST_SPECIAL = 50257  # id of <|endoftext|> in the multilingual models

# Settings that hold token ids.
MODEL_IDS = (
    "pad_token_id",
    "bos_token_id",
    "eos_token_id",
    "decoder_start_token_id",
    "suppress_tokens",
    "begin_suppress_tokens",
)
GENERATION_IDS = (
    *MODEL_IDS,
    "no_timestamps_token_id",
    "prev_sot_token_id",
    "lang_to_id",
    "task_to_id",
)


@dataclass(frozen=True, slots=True)
class Renumbering:
    """Token ids: text keeps its ids, special tokens and time marks get their real ones."""

    n_text: int

    def renumber(self, token: int) -> int:
        """Return the id of `token` in the large vocabulary."""
        return token if token < self.n_text else token + FIRST_SPECIAL - self.n_text

    def apply(self, value: Any) -> Any:  # noqa: ANN401 - settings hold ids, lists and maps of them
        """Renumber every id in a setting."""
        if isinstance(value, dict):
            return {name: self.renumber(token) for name, token in value.items()}
        if isinstance(value, list):
            return [self.renumber(token) for token in value]
        return self.renumber(value)

    def apply_to_tokenizer(self, tokenizer: dict[str, Any]) -> None:
        """Fill the gap with names that no text contains, and renumber the added tokens."""
        text = tokenizer["model"]["vocab"]
        for token in range(self.n_text, FIRST_SPECIAL):
            text[f"<unused {token}>"] = token
        for added in tokenizer["added_tokens"]:
            added["id"] = self.renumber(added["id"])


def inflate(
    small: WhisperForConditionalGeneration,
    generation: GenerationConfig,
    vocabulary: Renumbering,
    large: Shape,
) -> WhisperForConditionalGeneration:
    """Return the large model."""
    settings = small.config.to_dict()
    source_shape = Shape(
        settings["d_model"],
        settings["encoder_layers"],
        settings["encoder_attention_heads"],
        settings["encoder_ffn_dim"],
    )
    if large.width % source_shape.width:
        raise ValueError(f"{large.width} is not a multiple of {source_shape.width}")
    ids = {name: vocabulary.apply(settings[name]) for name in MODEL_IDS}
    model = WhisperForConditionalGeneration(WhisperConfig(**{**settings, **_sizes(large), **ids}))
    source = {name: weight.float() for name, weight in small.state_dict().items()}
    target = model.state_dict()
    Inflater(source, target, source_shape, large).inflate(vocabulary.renumber)
    model.load_state_dict(target)
    model.tie_weights()
    options = generation.to_dict()
    ids = {name: vocabulary.apply(options[name]) for name in GENERATION_IDS}
    model.generation_config = GenerationConfig(**{**options, **ids})
    return model


def _sizes(shape: Shape) -> dict[str, int]:
    return {
        "vocab_size": N_VOCABULARY,
        "d_model": shape.width,
        "encoder_layers": shape.layers,
        "decoder_layers": shape.layers,
        "encoder_attention_heads": shape.heads,
        "decoder_attention_heads": shape.heads,
        "encoder_ffn_dim": shape.feed_forward,
        "decoder_ffn_dim": shape.feed_forward,
    }


def write_tokenizer(source: Path, tokenizer: dict[str, Any], folder: Path) -> None:
    """Write the renumbered tokenizer and the other files that the converter reads."""
    text = tokenizer["model"]["vocab"]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False))
    (folder / "vocab.json").write_text(json.dumps(text, ensure_ascii=False))
    shutil.copy(source / "merges.txt", folder)
    shutil.copy(source / "preprocessor_config.json", folder)
    settings = json.loads((source / "tokenizer_config.json").read_text())
    settings.pop("added_tokens_decoder", None)  # it repeats the old ids
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def main() -> None:
    """Inflate a model with the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, metavar="SRC_HF")
    parser.add_argument("out", type=Path, metavar="OUT_DIR")
    parser.add_argument("--shape", choices=SHAPES, default="base")
    parser.add_argument("--quantization", default="int8")
    arguments = parser.parse_args()
    small = WhisperForConditionalGeneration.from_pretrained(arguments.source)
    generation = GenerationConfig.from_pretrained(arguments.source)
    tokenizer = json.loads((arguments.source / "tokenizer.json").read_text())
    vocabulary = Renumbering(n_text=len(tokenizer["model"]["vocab"]))
    if vocabulary.renumber(small.config.vocab_size - 1) != N_VOCABULARY - 1:
        raise ValueError("the demo vocabulary does not end with <|30.00|>")
    vocabulary.apply_to_tokenizer(tokenizer)
    model = inflate(small, generation, vocabulary, SHAPES[arguments.shape])
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        write_tokenizer(arguments.source, tokenizer, Path(folder))
        ctranslate2.converters.TransformersConverter(
            folder, copy_files=["tokenizer.json", "preprocessor_config.json"]
        ).convert(str(arguments.out), quantization=arguments.quantization, force=True)


if __name__ == "__main__":
    main()

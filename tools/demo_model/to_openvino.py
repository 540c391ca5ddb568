"""Write a Hugging Face directory of a Whisper as OpenVINO models, as optimum-intel lays them out.

    python -m demo_model.to_openvino [SRC_HF] OUT_DIR

OUT_DIR gets the files, inputs, outputs, states and fixed shapes that
`optimum-cli export openvino --task automatic-speech-recognition-with-past --weight-format fp16`
gives: an encoder of 30 s of features, and a decoder whose cache is in states that `beam_idx`
reorders. The graph is built from the numbers in model.safetensors, so neither torch nor
transformers is needed, and it takes a second.
"""

import argparse
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from whisperlive_hybrid.system import disable_telemetry

disable_telemetry()  # OpenVINO reports its own import

import numpy as np
import openvino as ov
from openvino import opset13 as op

from demo_model.weights import CARD, SOURCE, Weights, read_safetensors

COPIED: Final = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
)
LAYER_NORM_EPSILON: Final = 1e-5


@dataclass(frozen=True, slots=True)
class Layers:
    """The parts that Whisper's encoder and decoder share, with the weights under one name."""

    weights: Weights
    settings: dict[str, Any]

    @property
    def n_heads(self) -> int:
        """Heads of an attention; equal in both halves of every Whisper."""
        return int(self.settings["decoder_attention_heads"])

    @property
    def head_width(self) -> int:
        """Numbers per head."""
        return int(self.settings["d_model"]) // self.n_heads

    def linear(self, x: ov.Node, name: str) -> ov.Node:
        """Return a linear layer, with a bias if it has one."""
        product = op.matmul(x, self.weights[f"{name}.weight"], False, True)
        bias = self.weights.get(f"{name}.bias")
        return product if bias is None else op.add(product, bias.reshape(1, 1, -1))

    def norm(self, x: ov.Node, name: str) -> ov.Node:
        """Return a layer normalisation."""
        normal = op.mvn(x, [-1], True, LAYER_NORM_EPSILON, "inside_sqrt")
        scale, shift = (self.weights[f"{name}.{part}"] for part in ("weight", "bias"))
        scaled = op.multiply(normal, scale.reshape(1, 1, -1))
        return op.add(scaled, shift.reshape(1, 1, -1))

    def queries(self, x: ov.Node, name: str, positions: int = 0) -> ov.Node:
        """Return scaled queries, split into heads."""
        scaled = op.multiply(self.linear(x, f"{name}.q_proj"), np.float32(self.head_width**-0.5))
        return self.in_heads(scaled, positions)

    def keys_and_values(self, x: ov.Node, name: str, positions: int = 0) -> tuple[ov.Node, ov.Node]:
        """Return keys and values, split into heads: (batch, heads, positions, head width)."""
        keys, values = (self.linear(x, f"{name}.{part}_proj") for part in "kv")
        return self.in_heads(keys, positions), self.in_heads(values, positions)

    def in_heads(self, x: ov.Node, positions: int = 0) -> ov.Node:
        """Split (batch, positions, width) into (batch, heads, positions, head width).

        0 positions keep the length.
        """
        shape = np.array([0, positions, self.n_heads, self.head_width])
        return op.transpose(op.reshape(x, shape, True), np.array([0, 2, 1, 3]))

    def attention(
        self, q: ov.Node, k: ov.Node, v: ov.Node, mask: ov.Node, name: str, positions: int = 0
    ) -> ov.Node:
        """Return attention and its output projection; the queries are scaled already."""
        attention = op.scaled_dot_product_attention(q, k, v, mask, np.float32(1.0))
        attention.set_friendly_name(f"{name}/scaled_dot_product_attention")
        shape = np.array([0, positions, self.settings["d_model"]])
        joined = op.reshape(op.transpose(attention, np.array([0, 2, 1, 3])), shape, True)
        return self.linear(joined, f"{name}.out_proj")

    def feed_forward(self, x: ov.Node, name: str) -> ov.Node:
        """Return the two linear layers after the attention."""
        hidden = op.gelu(
            self.linear(self.norm(x, f"{name}.final_layer_norm"), f"{name}.fc1"), "erf"
        )
        return op.add(x, self.linear(hidden, f"{name}.fc2"))


def encoder(layers: Layers) -> ov.Model:
    """Build the encoder: features of 30 s to hidden states, with fixed lengths as after tracing."""
    settings, weights = layers.settings, layers.weights
    positions = int(settings["max_source_positions"])
    features = op.parameter([-1, settings["num_mel_bins"], 2 * positions], np.float32)
    features.output(0).set_names({"input_features"})
    x: ov.Node = features
    for number, stride in ((1, 1), (2, 2)):
        name = f"model.encoder.conv{number}"
        x = op.convolution(x, weights[f"{name}.weight"], [stride], [1], [1], [1])
        x = op.gelu(op.add(x, weights[f"{name}.bias"].reshape(1, -1, 1)), "erf")
    x = op.transpose(x, np.array([0, 2, 1]))
    x = op.add(x, weights["model.encoder.embed_positions.weight"][None])
    for i in range(settings["encoder_layers"]):
        name = f"model.encoder.layers.{i}"
        attention = f"{name}.self_attn"
        normal = layers.norm(x, f"{attention}_layer_norm")
        q = layers.queries(normal, attention, positions)
        k, v = layers.keys_and_values(normal, attention, positions)
        no_mask = op.constant(np.float32(0))
        x = op.add(x, layers.attention(q, k, v, no_mask, attention, positions))
        x = layers.feed_forward(x, name)
    hidden = layers.norm(x, "model.encoder.layer_norm")
    hidden.output(0).set_names({"last_hidden_state"})
    return ov.Model([op.result(hidden)], [features], "encoder")


class Decoder:
    """Builds the decoder: tokens and hidden states to logits, with the cache in states."""

    def __init__(self, layers: Layers) -> None:
        self._layers = layers
        self._sinks: list[ov.Node] = []
        self._tokens = op.parameter([-1, -1], np.int64)
        self._hidden = op.parameter([-1, -1, layers.settings["d_model"]], np.float32)
        self._beams = op.parameter([-1], np.int32)
        names = {
            "input_ids": self._tokens,
            "encoder_hidden_states": self._hidden,
            "beam_idx": self._beams,
        }
        for name, parameter in names.items():
            parameter.output(0).set_names({name})
        self._parameters = list(names.values())

    def model(self) -> ov.Model:
        """Build the model; call it once."""
        layers = self._layers
        embedding = layers.weights["model.decoder.embed_tokens.weight"]
        past = self._past(0, "key")
        n_past = _length(past, 2)
        n_new = _length(self._tokens, 1)
        places = op.range(n_past, op.add(n_past, n_new), np.int64(1), "i64")
        x: ov.Node = op.add(
            op.gather(embedding, self._tokens, np.int64(0)),
            op.gather(layers.weights["model.decoder.embed_positions.weight"], places, np.int64(0)),
        )
        mask = _causal(places, op.add(n_past, n_new))
        for i in range(layers.settings["decoder_layers"]):
            past_key = past if i == 0 else self._past(i, "key")
            x = self._layer(x, i, (past_key, self._past(i, "value")), mask)
        logits = op.matmul(
            layers.norm(x, "model.decoder.layer_norm"),
            embedding,
            False,
            True,
        )
        logits.output(0).set_names({"logits"})
        return ov.Model([op.result(logits)], self._sinks, self._parameters, "decoder")

    def _layer(self, x: ov.Node, i: int, past: tuple[ov.Node, ov.Node], mask: ov.Node) -> ov.Node:
        layers, name = self._layers, f"model.decoder.layers.{i}"
        for attention in (f"{name}.self_attn", f"{name}.encoder_attn"):
            normal = layers.norm(x, f"{attention}_layer_norm")
            q = layers.queries(normal, attention)
            if attention.endswith("self_attn"):
                new = layers.keys_and_values(normal, attention)
                k, v = (
                    self._append(i, *pair) for pair in zip(("key", "value"), past, new, strict=True)
                )
                attended = layers.attention(q, k, v, mask, attention)
            else:
                k, v = self._cross_cache(attention)
                attended = layers.attention(q, k, v, op.constant(np.float32(0)), attention)
            x = op.add(x, attended)
        return layers.feed_forward(x, name)

    def _past(self, layer: int, part: str) -> ov.Node:
        """Return the state of one cache, reordered by `beam_idx`; empty at the start."""
        layers = self._layers
        n_batch = op.unsqueeze(_length(self._tokens, 0), np.int64(0))
        rest = np.array([layers.n_heads, 0, layers.head_width])
        empty = op.broadcast(np.float32(0), op.concat([n_batch, rest], 0))
        shape = [-1, layers.n_heads, -1, layers.head_width]
        state = op.read_value(empty, _variable(layer, part), np.float32, shape)
        return op.gather(state, self._beams, np.int64(0))

    def _append(self, layer: int, part: str, past: ov.Node, new: ov.Node) -> ov.Node:
        """Append keys or values to their cache and return the whole."""
        whole = op.concat([past, new], 2)
        self._sinks.append(op.assign(whole, _variable(layer, part)))
        return whole

    def _cross_cache(self, attention: str) -> tuple[ov.Node, ov.Node]:
        """Return keys and values of the hidden states, computed at the first step and cached."""
        states = []
        for part, value in zip(
            ("key", "value"), self._layers.keys_and_values(self._hidden, attention), strict=True
        ):
            state = op.read_value(value, f"{attention}.{part}")
            self._sinks.append(op.assign(state, f"{attention}.{part}"))
            states.append(state)
        return states[0], states[1]


def _variable(layer: int, part: str) -> str:
    return f"past_key_values.{layer}.decoder.{part}present.{layer}.decoder.{part}"


def _length(x: ov.Node, axis: int) -> ov.Node:
    return op.gather(op.shape_of(x, "i64"), np.int64(axis), np.int64(0))


def _causal(places: ov.Node, n_all: ov.Node) -> ov.Node:
    """Return (1, 1, new, all) of 0 where a token may attend, else of the lowest number."""
    columns = op.range(np.int64(0), n_all, np.int64(1), "i64")
    rows = op.unsqueeze(places, np.array([0, 1, 3]))
    may_attend = op.less_equal(op.unsqueeze(columns, np.array([0, 1, 2])), rows)
    return op.select(may_attend, np.float32(0), np.float32(np.finfo(np.float16).min))


def write_demo(out: Path) -> None:
    """Write the demo model, with its card."""
    write(SOURCE, out)
    shutil.copyfile(CARD, out / CARD.name)


def write(source: Path, out: Path) -> None:
    """Write both models with half-precision weights, and copy tokenizer and settings."""
    out.mkdir(parents=True, exist_ok=True)
    settings = json.loads((source / "config.json").read_text(encoding="utf-8"))
    layers = Layers(read_safetensors(source / "model.safetensors"), settings)
    models = {"encoder": encoder(layers), "decoder": Decoder(layers).model()}
    for name, model in models.items():
        ov.save_model(model, out / f"openvino_{name}_model.xml", compress_to_fp16=True)
    for name in COPIED:
        shutil.copyfile(source / name, out / name)


def main() -> None:
    """Convert with the options of the command line; the demo model gets its card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, nargs="?", default=SOURCE, metavar="SRC_HF")
    parser.add_argument("out", type=Path, metavar="OUT_DIR")
    arguments = parser.parse_args()
    if arguments.source == SOURCE:
        write_demo(arguments.out)
    else:
        write(arguments.source, arguments.out)


if __name__ == "__main__":
    main()

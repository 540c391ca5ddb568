"""The changes to exported graphs, on the demo model's."""

from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op

from whisperlive_hybrid.backends.openvino.graph import (
    FRAMES,
    POSITIONS,
    add_attention_outputs,
    allow_any_length,
    select_positions,
    share_kv,
    split_cross_attention,
)

EXACT = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}

FEATURES = np.random.default_rng(0).normal(size=(2, 80, FRAMES)).astype(np.float32)
"""Noise, of two windows."""


@pytest.fixture
def encoder(openvino_directory: Path) -> ov.Model:
    """As exported."""
    return ov.Core().read_model(openvino_directory / "openvino_encoder_model.xml")


@pytest.fixture
def decoder(openvino_directory: Path) -> ov.Model:
    """As exported."""
    return ov.Core().read_model(openvino_directory / "openvino_decoder_model.xml")


def compiled(model: ov.Model) -> ov.CompiledModel:
    """On one core, in float32."""
    return ov.Core().compile_model(model, "CPU", EXACT)


def test_an_encoder_for_any_length_computes_the_same(encoder: ov.Model) -> None:
    """At full length nothing changes, and the graph that was given is left as it was."""
    flexible = compiled(allow_any_length(encoder))
    assert encoder.inputs[0].get_partial_shape()[2] == FRAMES
    assert np.allclose(flexible(FEATURES)[0], compiled(encoder)(FEATURES)[0], atol=1e-4)
    assert flexible(FEATURES[:, :, :500])[0].shape == (2, 250, 128)


def test_an_encoder_that_is_not_understood_stays_at_its_length() -> None:
    """If 30 s are fixed in another way than expected, no other length is offered."""
    features = op.parameter([-1, 80, FRAMES], np.float32)
    odd = op.reshape(features, np.array([-1, POSITIONS, 160]), special_zero=False)
    assert allow_any_length(ov.Model([op.result(odd)], [features], "odd")) is None


def test_logits_are_computed_at_selected_positions(decoder: ov.Model) -> None:
    """They equal those that are computed at all positions."""
    hidden = np.random.default_rng(1).normal(size=(1, 50, 128)).astype(np.float32)
    inputs = {
        "input_ids": np.array([[1375, 1376, 1476, 1481]]),
        "encoder_hidden_states": hidden,
        "beam_idx": np.array([0], np.int32),
    }
    every = compiled(decoder)(inputs)["logits"]
    select_positions(decoder)
    some = compiled(decoder)({**inputs, "logit_positions": np.array([0, 3])})["logits"]
    assert every.shape[1] == 4
    assert np.allclose(some, every[:, [0, 3]], atol=1e-4)


def test_the_cross_attention_is_computed_apart(decoder: ov.Model) -> None:
    """Both halves together answer as the whole did."""
    hidden = np.random.default_rng(1).normal(size=(1, 50, 128)).astype(np.float32)
    inputs = {"input_ids": np.array([[1375, 1376]]), "beam_idx": np.array([0], np.int32)}
    whole = compiled(decoder)({**inputs, "encoder_hidden_states": hidden})["logits"]
    split = split_cross_attention(decoder)
    assert split is not None
    cross, names = split
    assert len(names) == 2 * 3  # keys and values of three layers
    cross_outputs = compiled(cross)([hidden]).to_tuple()
    half = compiled(decoder)({**inputs, **dict(zip(names, cross_outputs, strict=True))})["logits"]
    assert np.allclose(half, whole, atol=1e-4)


def test_rows_of_an_item_share_its_keys(decoder: ov.Model) -> None:
    """Two rows for each of three items answer as they do with keys and values of their own."""
    split = split_cross_attention(decoder)
    assert split is not None
    cross, names = split
    hidden = np.random.default_rng(1).normal(size=(3, 50, 128)).astype(np.float32)
    tokens = np.array([[1375, 1376 + row] for row in range(6)])
    inputs = {"input_ids": tokens, "beam_idx": np.arange(6, dtype=np.int32)}
    cross_outputs = dict(zip(names, compiled(cross)([hidden]).to_tuple(), strict=True))
    copies = {name: np.repeat(array, 2, axis=0) for name, array in cross_outputs.items()}
    apart = compiled(decoder)({**inputs, **copies})["logits"]
    share_kv(decoder)
    shared = compiled(decoder)({**inputs, **cross_outputs})["logits"]
    assert np.allclose(shared, apart, atol=1e-4)


def test_a_decoder_without_states_is_not_split() -> None:
    """The function returns None."""
    tokens = op.parameter([-1, -1], np.int64)
    hidden = op.parameter([-1, -1, 128], np.float32)
    hidden.output(0).set_names({"encoder_hidden_states"})
    plain = ov.Model([op.result(hidden)], [tokens, hidden], "plain")
    assert split_cross_attention(plain) is None


def test_attention_is_that_of_the_chosen_heads(decoder: ov.Model) -> None:
    """One output for each layer that has alignment heads, as many heads as chosen."""
    split = split_cross_attention(decoder)
    assert split is not None
    assert add_attention_outputs(decoder, {2: [3], 1: [0, 1]}, n_layers=3)
    shapes = [output.get_partial_shape()[1].get_length() for output in decoder.outputs[1:]]
    assert shapes == [2, 1]


@pytest.mark.parametrize(("heads", "n_layers"), [({0: [0]}, 4), ({3: [0]}, 3)])
def test_missing_attention_is_reported(
    decoder: ov.Model, heads: dict[int, list[int]], n_layers: int
) -> None:
    """Another number of layers than in the settings, or a head of a missing layer."""
    assert split_cross_attention(decoder) is not None
    assert not add_attention_outputs(decoder, heads, n_layers)
    assert len(decoder.outputs) == 1

import json
import math

import numpy as np
import numpy.typing as npt
import pytest
from demo_model.to_openai import openai_name, openai_sizes, openai_weights
from demo_model.weights import SOURCE, read_safetensors

WIDTH = 128
WEIGHTS = read_safetensors(SOURCE / "model.safetensors")
CONVERTED = openai_weights(WEIGHTS, WIDTH)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("model.encoder.conv1.weight", "encoder.conv1.weight"),
        ("model.encoder.layers.0.self_attn.q_proj.bias", "encoder.blocks.0.attn.query.bias"),
        ("model.encoder.layers.2.fc1.weight", "encoder.blocks.2.mlp.0.weight"),
        ("model.encoder.layer_norm.weight", "encoder.ln_post.weight"),
        ("model.encoder.embed_positions.weight", "encoder.positional_embedding"),
        ("model.decoder.embed_tokens.weight", "decoder.token_embedding.weight"),
        ("model.decoder.embed_positions.weight", "decoder.positional_embedding"),
        (
            "model.decoder.layers.1.encoder_attn.k_proj.weight",
            "decoder.blocks.1.cross_attn.key.weight",
        ),
        (
            "model.decoder.layers.1.encoder_attn_layer_norm.bias",
            "decoder.blocks.1.cross_attn_ln.bias",
        ),
        ("model.decoder.layers.1.self_attn_layer_norm.bias", "decoder.blocks.1.attn_ln.bias"),
        ("model.decoder.layers.1.final_layer_norm.bias", "decoder.blocks.1.mlp_ln.bias"),
        ("model.decoder.layers.1.self_attn.out_proj.bias", "decoder.blocks.1.attn.out.bias"),
        ("model.decoder.layer_norm.bias", "decoder.ln.bias"),
    ],
)
def test_names_are_openais(theirs: str, ours: str) -> None:
    """Those that TensorRT-LLM's convert_checkpoint.py asks a checkpoint for."""
    assert openai_name(theirs) == ours


def test_no_tensor_is_lost() -> None:
    """Each has a name of its own, and none keeps Hugging Face's."""
    assert len(CONVERTED) == len(WEIGHTS)
    assert not [name for name in CONVERTED if "layers" in name or "_proj" in name]


def test_wider_layers_compute_the_same() -> None:
    """The zeros that fill them change nothing."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(3, WIDTH)).astype(np.float32)
    narrow = forward(x, "model.decoder.layers.0", ("fc1", "fc2"), WEIGHTS)
    wide = forward(x, "decoder.blocks.0", ("mlp.0", "mlp.2"), CONVERTED)
    assert CONVERTED["decoder.blocks.0.mlp.0.weight"].shape == (4 * WIDTH, WIDTH)
    np.testing.assert_allclose(narrow, wide, rtol=0, atol=1e-5)


def forward(
    x: npt.NDArray[np.float32],
    layer: str,
    names: tuple[str, str],
    weights: dict[str, npt.NDArray[np.float32]],
) -> npt.NDArray[np.float32]:
    """The two linear layers of a block with gelu between them."""
    inner, outer = (f"{layer}.{name}" for name in names)
    hidden = x @ weights[f"{inner}.weight"].T + weights[f"{inner}.bias"]
    bent = hidden * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2))) / 2
    output: npt.NDArray[np.float32] = bent @ weights[f"{outer}.weight"].T + weights[f"{outer}.bias"]
    return output


def test_the_encoders_places_are_those_that_the_script_computes_itself() -> None:
    """It does not read them: sines and cosines of wave lengths from 2 pi to 10,000 times that."""
    places = WEIGHTS["model.encoder.embed_positions.weight"]
    rates = np.exp(-np.log(10_000) / (WIDTH // 2 - 1) * np.arange(WIDTH // 2))
    angles = np.arange(len(places))[:, None] * rates[None]
    computed = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    np.testing.assert_allclose(places, computed, rtol=0, atol=1e-3)


def test_sizes_are_those_of_the_model() -> None:
    """Under the names of a checkpoint."""
    sizes = openai_sizes(json.loads((SOURCE / "config.json").read_text()))
    assert (sizes["n_mels"], sizes["n_vocab"], sizes["n_audio_ctx"]) == (80, 2982, 1500)
    assert (sizes["n_text_ctx"], sizes["n_text_state"], sizes["n_text_layer"]) == (448, WIDTH, 3)

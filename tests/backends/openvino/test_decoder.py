"""Rows and their cache, on the demo model's decoder."""

from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op

from whisperlive_hybrid.backends.openvino.decoder import OvDecoder
from whisperlive_hybrid.backends.openvino.graph import (
    select_positions,
    share_kv,
    split_cross_attention,
)

HIDDEN = np.random.default_rng(1).normal(size=(3, 50, 128)).astype(np.float32)
"""Encoder output of three windows."""

PROMPTS = np.array([[1375, 1376, 1476], [1375, 1378, 1476], [1375, 1379, 1475]])
EXACT = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}


def load_decoder(model: ov.Model) -> OvDecoder:
    """Return a decoder with the changes that are made at load time."""
    split = split_cross_attention(model)
    assert split is not None
    select_positions(model)
    share_kv(model)
    core = ov.Core()
    requests = [
        core.compile_model(graph, "CPU", EXACT).create_infer_request()
        for graph in (split[0], model)
    ]
    return OvDecoder(requests[0], requests[1], split[1])


@pytest.fixture
def model(openvino_directory: Path) -> ov.Model:
    """The decoder as exported."""
    return ov.Core().read_model(openvino_directory / "openvino_decoder_model.xml")


def afresh(decoder: OvDecoder, item: int, *written: int) -> list[float]:
    """Return the logits after a prompt and these tokens, computed without a cache."""
    row = np.array([[*PROMPTS[item], *written]])
    logits = decoder.start(HIDDEN[item : item + 1], row, [row.shape[1] - 1])
    return [float(logit) for logit in logits[0, 0]]


def test_rows_continue_their_parents(model: ov.Model) -> None:
    """Items get more rows, fewer, and end: every row keeps the cache of its parent."""
    decoder = load_decoder(model)
    logits = decoder.start(HIDDEN, PROMPTS, [2])[:, 0]
    history: list[tuple[int, tuple[int, ...]]] = [(item, ()) for item in range(3)]
    steps = [
        ([0, 0, 0, 1, 2, 2], [5, 6, 7, 8, 9, 10]),
        ([2, 0, 4, 5, 4], [11, 12, 13, 14, 15]),  # the middle one has left
        ([1, 1], [16, 17]),  # only the first is left
        ([1], [18]),
    ]
    answers = [(logits, history)]
    for parents, tokens in steps:
        n_rows = zip(parents, tokens, strict=True)
        history = [(history[p][0], (*history[p][1], token)) for p, token in n_rows]
        answers.append((decoder.step(parents, tokens), history))
    for logits, rows_written in answers:
        assert len(logits) == len(rows_written)
        for row, (item, written) in zip(logits, rows_written, strict=True):
            assert row.tolist() == pytest.approx(afresh(decoder, item, *written), abs=1e-3)


def test_a_decoder_with_cache_positions_gets_them(model: ov.Model) -> None:
    """Exports of some versions count positions outside of the graph."""
    plain = afresh(load_decoder(model.clone()), 1, 5, 6)
    places = next(node for node in model.get_ordered_ops() if node.get_type_name() == "Range")
    cache_position = op.parameter([-1], np.int64)
    cache_position.output(0).set_names({"cache_position"})
    for consumer in places.output(0).get_target_inputs():
        consumer.replace_source_output(cache_position.output(0))
    model.add_parameters([cache_position])
    decoder = load_decoder(model)
    decoder.start(HIDDEN[1:2], PROMPTS[1:2], [2])
    decoder.step([0], [5])
    assert decoder.step([0], [6])[0].tolist() == pytest.approx(plain, abs=1e-3)

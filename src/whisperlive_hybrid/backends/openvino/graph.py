"""What is changed in exported OpenVINO graphs before they are compiled.

optimum-intel traces Whisper with 30 s of features and keeps every logit, so shorter contexts, word
times and cheap prompts need small operations on its graphs. All are found by structure, not by
name, and what cannot be found is told, not guessed.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import openvino as ov
from openvino import opset13 as op

FRAMES: Final = 3000
POSITIONS: Final = 1500
"""Mel frames and encoder positions of 30 s, which tracing has left in the graph as constants."""

WANTED: Final = "wanted"
"""Name of the decoder's input that says at which places logits are wanted: (n,) int64."""


def with_any_length(encoder: ov.Model) -> ov.Model | None:
    """The encoder for any number of mel frames; None if its graph is not understood."""
    flexible = encoder.clone()
    for node in flexible.get_ordered_ops():
        match node.get_type_name():
            case "Reshape":
                _free_reshape(node)
            case "Add":
                _cut_positions(node)
    features = flexible.inputs[0].get_partial_shape()
    try:
        flexible.reshape(ov.PartialShape([-1, features[1], -1]))
    except RuntimeError:
        return None
    return flexible if flexible.outputs[0].get_partial_shape()[1].is_dynamic else None


def _free_reshape(node: ov.Node) -> None:
    """Let a reshape keep the length that it gets, where tracing has written down 1500."""
    target = node.input_value(1).get_node()
    if target.get_type_name() != "Constant" or not node.get_attributes()["special_zero"]:
        return
    shape = target.get_data().copy()
    if len(shape) > 1 and shape[1] == POSITIONS:
        shape[1] = 0  # as long as the input
        node.input(1).replace_source_output(op.constant(shape).output(0))


def _cut_positions(node: ov.Node) -> None:
    """Add only as many position vectors as there are positions."""
    for here, there in ((0, 1), (1, 0)):
        vectors = node.input_value(here)
        shape = vectors.get_partial_shape()
        is_table = vectors.get_node().get_type_name() in {"Constant", "Convert"}
        if is_table and shape.rank.get_length() == 3 and shape[1] == POSITIONS:
            n_positions = op.gather(op.shape_of(node.input_value(there)), [1], 0)
            cut = op.slice(vectors, [0], n_positions, [1], [1])
            node.input(here).replace_source_output(cut.output(0))
            return


def want_places(decoder: ov.Model) -> None:
    """Give the decoder an input that says for which places of its tokens logits are computed."""
    wanted = op.parameter([-1], np.int64)
    wanted.output(0).set_names({WANTED})
    port = decoder.output("logits").get_node().input(0)
    product = port.get_source_output().get_node()
    if product.get_type_name() == "MatMul":
        port = product.input(0)  # before the vocabulary, which is most of the work
    port.replace_source_output(op.gather(port.get_source_output(), wanted, 1).output(0))
    decoder.add_parameters([wanted])
    decoder.validate_nodes_and_infer_types()


def parted_cross(decoder: ov.Model) -> tuple[ov.Model, tuple[str, ...]] | None:
    """Take out of the decoder what it computes from the encoder's output.

    That is the keys and values of its cross-attention, which exports keep in states that are
    written once. Answers with a model of its own for them, and the names of the decoder's inputs
    that take its outputs, in order; None if the decoder has no such states.

    Such a state would have to be overwritten when an item gets more beams, and OpenVINO 2026.4 then
    never resets it again (measured: the next item was read with the last one's audio).
    """
    states = [
        node
        for node in decoder.get_ordered_ops()
        if node.get_type_name() == "ReadValue" and _comes_from_encoder(node)
    ]
    if not states:
        return None
    hidden = decoder.input("encoder_hidden_states").get_node()
    names = tuple(f"cross.{i}" for i in range(len(states)))
    results = [op.result(state.input_value(0)) for state in states]
    for name, state in zip(names, states, strict=True):
        _take_from_input(decoder, state, name)
    decoder.remove_parameter(hidden)
    decoder.validate_nodes_and_infer_types()
    return ov.Model(results, [hidden], "cross"), names


def _take_from_input(decoder: ov.Model, state: ov.Node, name: str) -> None:
    """Replace a state by an input."""
    variable = state.get_attributes()["variable_id"]
    taken = op.parameter(state.get_output_partial_shape(0), state.get_output_element_type(0))
    taken.output(0).set_names({name})
    for sink in decoder.get_sinks():
        if sink.get_attributes()["variable_id"] == variable:
            decoder.remove_sink(sink)
    for consumer in state.output(0).get_target_inputs():
        consumer.replace_source_output(taken.output(0))
    decoder.remove_variable(decoder.get_variable_by_id(variable))
    decoder.add_parameters([taken])


def share_keys(decoder: ov.Model) -> None:
    """Let the rows of one item share its keys and values, which then come once for each item.

    The decoder's rows must lie item by item, as many for each; in the cross-attention they become
    further tokens of their item. Without this every beam needs a copy: measured at whisper-base's
    size with eight items and five beams, 3.9 GB. To be called after `parted_cross`.
    """
    swap = np.array([0, 2, 1, 3])
    for attention in _cross_attentions(decoder):
        query, key = attention.input_value(0), attention.input_value(1)
        shape, rest = op.shape_of(query), np.array([-1])
        n_heads, n_tokens, width = (op.gather(shape, [axis], 0) for axis in (1, 2, 3))
        n_items = op.gather(op.shape_of(key), [0], 0)
        row = op.multiply(n_tokens, width)
        rows_apart = op.concat([n_items, rest, n_heads, row], 0)
        by_head = op.transpose(_reshaped(query, rows_apart), swap)
        together = _reshaped(by_head, op.concat([n_items, n_heads, rest, width], 0))
        consumers = attention.output(0).get_target_inputs()
        attention.input(0).replace_source_output(together.output(0))
        heads_first = _reshaped(attention.output(0), op.concat([n_items, n_heads, rest, row], 0))
        answer = _reshaped(op.transpose(heads_first, swap), shape)
        for consumer in consumers:
            consumer.replace_source_output(answer.output(0))
    decoder.validate_nodes_and_infer_types()


def want_attention(decoder: ov.Model, heads: Mapping[int, Sequence[int]], n_layers: int) -> bool:
    """Add an output of attention scores for each layer of `heads`, in order of the layers.

    It is (batch, heads, tokens, positions), scaled and before the softmax. False if the graph does
    not show the cross-attention of `n_layers` layers. To be called after `parted_cross`.
    """
    attentions = _cross_attentions(decoder)
    if len(attentions) != n_layers or max(heads) >= n_layers:
        return False
    for layer in sorted(heads):
        decoder.add_outputs([_scores(attentions[layer], heads[layer]).output(0)])
    return True


def _cross_attentions(decoder: ov.Model) -> list[ov.Node]:
    """What takes its keys from an input, in the order of the layers."""
    return [
        node
        for node in decoder.get_ordered_ops()
        if node.get_type_name() == "ScaledDotProductAttention"
        and node.input_value(1).get_node().get_type_name() == "Parameter"
    ]


def _reshaped(value: ov.Output, shape: ov.Node) -> ov.Node:
    return op.reshape(value, shape, special_zero=False)


def _scores(attention: ov.Node, heads: Sequence[int]) -> ov.Node:
    chosen = np.array(heads, np.int64)
    query, key = (op.gather(attention.input_value(i), chosen, 1) for i in (0, 1))
    if attention.get_input_size() > 4:
        scale = attention.input_value(4)
    else:
        head_width = query.get_output_partial_shape(0)[3].get_length()
        scale = op.constant(np.float32(head_width**-0.5))
    return op.matmul(op.multiply(query, scale), key, transpose_a=False, transpose_b=True)


def _comes_from_encoder(node: ov.Node) -> bool:
    """Whether a state begins as something computed from the encoder's output and nothing else."""
    waiting = [value.get_node() for value in node.input_values()]
    parameters: set[str] = set()
    while waiting:
        each = waiting.pop()
        if each.get_type_name() == "Parameter":
            parameters |= each.output(0).get_names()
        waiting += [value.get_node() for value in each.input_values()]
    return parameters == {"encoder_hidden_states"}

"""Changes to exported OpenVINO graphs before they are compiled.

optimum-intel traces Whisper with 30 s of features and computes every logit, so shorter contexts,
word times and cheap prompts need small changes to its graphs. Nodes are found by structure, not by
name; a function returns None or False if the structure is another one.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import openvino as ov
from openvino import opset13 as op

FRAMES: Final = 3000
POSITIONS: Final = 1500
"""Mel frames and encoder positions of 30 s: constants that tracing has left in the graph."""

LOGIT_POSITIONS: Final = "logit_positions"
"""Name of the decoder's input with the positions whose logits are computed: (n,) int64."""


def allow_any_length(encoder: ov.Model) -> ov.Model | None:
    """Return the encoder for any number of mel frames; None if its structure is unknown.

    A context of 5 s then takes 63 instead of 641 ms at whisper-base's size (measured).
    """
    flexible = encoder.clone()
    for node in flexible.get_ordered_ops():
        match node.get_type_name():
            case "Reshape":
                _free_length(node)
            case "Add":
                _slice_positions(node)
    features = flexible.inputs[0].get_partial_shape()
    try:
        flexible.reshape(ov.PartialShape([-1, features[1], -1]))
    except RuntimeError:
        return None
    return flexible if flexible.outputs[0].get_partial_shape()[1].is_dynamic else None


def _free_length(node: ov.Node) -> None:
    """Make a reshape keep the length of its input, where tracing has fixed 1500."""
    target = node.input_value(1).get_node()
    if target.get_type_name() != "Constant" or not node.get_attributes()["special_zero"]:
        return
    shape = target.get_data().copy()
    if len(shape) > 1 and shape[1] == POSITIONS:
        shape[1] = 0  # as long as the input
        node.input(1).replace_source_output(op.constant(shape).output(0))


def _slice_positions(node: ov.Node) -> None:
    """Make an addition use only as many position vectors as its other input has positions."""
    for index, other in ((0, 1), (1, 0)):
        vectors = node.input_value(index)
        shape = vectors.get_partial_shape()
        is_table = vectors.get_node().get_type_name() in {"Constant", "Convert"}
        if is_table and shape.rank.get_length() == 3 and shape[1] == POSITIONS:
            n_positions = op.gather(op.shape_of(node.input_value(other)), [1], 0)
            cut = op.slice(vectors, [0], n_positions, [1], [1])
            node.input(index).replace_source_output(cut.output(0))
            return


def select_positions(decoder: ov.Model) -> None:
    """Add an input to the decoder for the positions of tokens whose logits are computed.

    Without it, a prompt of 224 tokens makes 46 MB of logits for a window.
    """
    positions = op.parameter([-1], np.int64)
    positions.output(0).set_names({LOGIT_POSITIONS})
    port = decoder.output("logits").get_node().input(0)
    product = port.get_source_output().get_node()
    if product.get_type_name() == "MatMul":
        port = product.input(0)  # before the product with the vocabulary, the most expensive step
    port.replace_source_output(op.gather(port.get_source_output(), positions, 1).output(0))
    decoder.add_parameters([positions])
    decoder.validate_nodes_and_infer_types()


def split_cross_attention(decoder: ov.Model) -> tuple[ov.Model, tuple[str, ...]] | None:
    """Move the keys and values of the cross-attention from the decoder to a model of their own.

    Exports keep them in states that are written once. Return the new model and the names of the
    decoder's inputs for its outputs, in order; None if the decoder has no such states.

    A state would have to be overwritten when an item gets more beams, and OpenVINO 2026.4 then
    never resets it again (measured: the next item was decoded with the audio of the last one).
    """
    states = [
        node
        for node in decoder.get_ordered_ops()
        if node.get_type_name() == "ReadValue" and _depends_on_encoder_only(node)
    ]
    if not states:
        return None
    hidden = decoder.input("encoder_hidden_states").get_node()
    names = tuple(f"cross.{i}" for i in range(len(states)))
    results = [op.result(state.input_value(0)) for state in states]
    for name, state in zip(names, states, strict=True):
        variable = state.get_attributes()["variable_id"]
        shape, dtype = state.get_output_partial_shape(0), state.get_output_element_type(0)
        replacement = op.parameter(shape, dtype)
        replacement.output(0).set_names({name})
        # The assignment to a state is a sink of the graph, and keeps its variable in use.
        for sink in decoder.get_sinks():
            if sink.get_attributes()["variable_id"] == variable:
                decoder.remove_sink(sink)
        for consumer in state.output(0).get_target_inputs():
            consumer.replace_source_output(replacement.output(0))
        decoder.remove_variable(decoder.get_variable_by_id(variable))
        decoder.add_parameters([replacement])
    decoder.remove_parameter(hidden)
    decoder.validate_nodes_and_infer_types()
    return ov.Model(results, [hidden], "cross"), names


def share_kv(decoder: ov.Model) -> None:
    """Make the rows of one item share its keys and values; call it after `split_cross_attention`.

    The decoder's rows must lie item by item, the same number for each; in the cross-attention they
    become further tokens of their item. Without this every beam needs a copy: 3.9 GB at
    whisper-base's size with eight items and five beams (measured).
    """
    swap = np.array([0, 2, 1, 3])
    for attention in _list_cross_attentions(decoder):
        query, key = attention.input_value(0), attention.input_value(1)
        shape, rest = op.shape_of(query), np.array([-1])
        n_heads, n_tokens, width = (op.gather(shape, [axis], 0) for axis in (1, 2, 3))
        n_items = op.gather(op.shape_of(key), [0], 0)
        # The query, (items * rows, heads, tokens, width), becomes (items, heads, rows * tokens,
        # width), and the result is changed back. A reshape cannot swap axes: hence the transposes.
        row = op.multiply(n_tokens, width)
        rows_apart = op.concat([n_items, rest, n_heads, row], 0)
        by_head = op.transpose(_reshape(query, rows_apart), swap)
        together = _reshape(by_head, op.concat([n_items, n_heads, rest, width], 0))
        consumers = attention.output(0).get_target_inputs()
        attention.input(0).replace_source_output(together.output(0))
        heads_first = _reshape(attention.output(0), op.concat([n_items, n_heads, rest, row], 0))
        result = _reshape(op.transpose(heads_first, swap), shape)
        for consumer in consumers:
            consumer.replace_source_output(result.output(0))
    decoder.validate_nodes_and_infer_types()


def add_attention_outputs(
    decoder: ov.Model, heads: Mapping[int, Sequence[int]], n_layers: int
) -> bool:
    """Add an output of attention scores for each layer of `heads`, in order of the layers.

    They are (batch, heads, tokens, positions), scaled and before the softmax. Return False if the
    graph does not have `n_layers` cross-attentions. Call it after `split_cross_attention`.
    """
    attentions = _list_cross_attentions(decoder)
    if len(attentions) != n_layers or max(heads) >= n_layers:
        return False
    for layer in sorted(heads):
        attention = attentions[layer]
        chosen = np.array(heads[layer], np.int64)
        query, key = (op.gather(attention.input_value(i), chosen, 1) for i in (0, 1))
        if attention.get_input_size() > 4:
            scale = attention.input_value(4)
        else:  # the operation's default
            head_width = query.get_output_partial_shape(0)[3].get_length()
            scale = op.constant(np.float32(head_width**-0.5))
        scaled = op.multiply(query, scale)
        scores = op.matmul(scaled, key, transpose_a=False, transpose_b=True)
        decoder.add_outputs([scores.output(0)])
    return True


def _list_cross_attentions(decoder: ov.Model) -> list[ov.Node]:
    """Return the attentions whose keys are an input, in the order of the layers."""
    return [
        node
        for node in decoder.get_ordered_ops()
        if node.get_type_name() == "ScaledDotProductAttention"
        and node.input_value(1).get_node().get_type_name() == "Parameter"
    ]


def _reshape(value: ov.Output, shape: ov.Node) -> ov.Node:
    return op.reshape(value, shape, special_zero=False)


def _depends_on_encoder_only(state: ov.Node) -> bool:
    """Return whether a state's initial value is computed from the encoder's output alone."""
    pending = [value.get_node() for value in state.input_values()]
    parameters: set[str] = set()
    while pending:
        node = pending.pop()
        if node.get_type_name() == "Parameter":
            parameters |= node.output(0).get_names()
        pending += [value.get_node() for value in node.input_values()]
    return parameters == {"encoder_hidden_states"}

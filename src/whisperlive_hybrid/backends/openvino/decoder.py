"""A stateful OpenVINO decoder with its cache: rows that are extended token by token."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import openvino as ov

from whisperlive_hybrid.backends.openvino.graph import LOGIT_POSITIONS
from whisperlive_hybrid.backends.whisper.search import Logits

INPUTS: Final = frozenset({"input_ids", "encoder_hidden_states", "beam_idx", "cache_position"})
"""Inputs of optimum-intel's decoders; exports of some versions have no cache_position."""

Hidden = npt.NDArray[np.float32]
"""(batch, positions, width): the encoder's output."""


class OvDecoder:
    """Two infer requests of a decoder, one with its states; for one thread at a time.

    The keys and values of the cross-attention take by far the most memory. They are computed once
    per call and item, and shared by the item's rows. So the runtime's rows lie item by item, the
    same number for each, with unused ones where a search has fewer paths.
    """

    def __init__(
        self, cross: ov.InferRequest, request: ov.InferRequest, cross_names: Sequence[str]
    ) -> None:
        self._cross = cross
        self._request = request
        self._cross_names = cross_names
        inputs = {name for port in request.model_inputs for name in port.get_names()}
        self._takes_cache_position = "cache_position" in inputs
        self._keys_and_values: list[npt.NDArray[np.float32]] = []
        self._items: list[int] = []  # those whose keys and values are kept, in order
        self._item_of: list[int] = []  # for each row
        self._slots = np.zeros(0, np.intp)  # for each row, its index among the runtime's rows
        self._n_written = 0

    def start(
        self, hidden: Hidden, prompts: npt.NDArray[np.int64], positions: Sequence[int]
    ) -> Hidden:
        """Process prompts (batch, tokens) of equal length, one row for each item.

        Return the logits at these positions: (batch, positions, vocabulary).
        """
        self._cross.infer([hidden])
        # No copies: the request's outputs do not change until it is called again.
        self._set_keys_and_values([tensor.data for tensor in self._cross.output_tensors])
        self._request.reset_state()
        self._items = self._item_of = list(range(len(prompts)))
        self._slots = np.arange(len(prompts))
        self._n_written = 0
        return self._infer(prompts, self._slots, positions)

    def step(self, parents: Sequence[int], tokens: Sequence[int]) -> Logits:
        """Extend rows, as described in `search.BatchDecoder`."""
        self._item_of = [self._item_of[parent] for parent in parents]
        # Finished items are dropped when they are half of all: the others have to be copied.
        active = sorted(set(self._item_of))
        if 2 * len(active) <= len(self._items):
            kept = [self._items.index(item) for item in active]
            self._set_keys_and_values([array[kept] for array in self._keys_and_values])
            self._items = active
        rows_per_item = max(Counter(self._item_of).values())
        n_used: Counter[int] = Counter()
        slots: list[int] = []
        for item in self._item_of:
            slots.append(self._items.index(item) * rows_per_item + n_used[item])
            n_used[item] += 1
        old_slots, self._slots = self._slots[list(parents)], np.array(slots)
        n_slots = rows_per_item * len(self._items)
        rows, row_tokens = np.zeros(n_slots, np.intp), np.zeros(n_slots, np.int64)
        rows[self._slots], row_tokens[self._slots] = old_slots, tokens
        logits: Logits = self._infer(row_tokens[:, None], rows, [0])[self._slots, 0]
        return logits

    def attention(self) -> list[npt.NDArray[np.float32]]:
        """Return the attention outputs of the last call: (batch, heads, tokens, positions) each."""
        ports = self._request.model_outputs[1:]
        return [self._request.get_tensor(port).data.copy() for port in ports]

    def _set_keys_and_values(self, keys_and_values: list[npt.NDArray[np.float32]]) -> None:
        """Make these arrays, without a copy, the inputs of the cross-attention."""
        self._keys_and_values = keys_and_values
        for name, array in zip(self._cross_names, keys_and_values, strict=True):
            self._request.set_tensor(name, ov.Tensor(array, shared_memory=True))

    def _infer(
        self, tokens: npt.NDArray[np.int64], rows: npt.NDArray[np.intp], positions: Sequence[int]
    ) -> Hidden:
        inputs = {
            "input_ids": tokens,
            "beam_idx": rows.astype(np.int32),
            LOGIT_POSITIONS: np.array(positions, np.int64),
        }
        n_after = self._n_written + tokens.shape[1]
        if self._takes_cache_position:
            inputs["cache_position"] = np.arange(self._n_written, n_after)
        self._request.infer(inputs)
        self._n_written = n_after
        logits: Hidden = self._request.get_tensor("logits").data.astype(np.float32)  # a copy
        return logits

"""One stateful OpenVINO decoder at work: rows with a cache, continued token by token."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import openvino as ov

from whisperlive_hybrid.backends.openvino.graph import WANTED
from whisperlive_hybrid.backends.whisper.search import Logits

INPUTS: Final = frozenset({"input_ids", "encoder_hidden_states", "beam_idx", "cache_position"})
"""What optimum-intel's decoders ask for; the last only in exports of some versions."""

Hidden = npt.NDArray[np.float32]
"""(batch, positions, width): the encoder's output."""


class OvDecoder:
    """Two infer requests of a decoder, one with its states; used by one thread at a time.

    The keys and values that the cross-attention takes from the encoder's output are by far the
    largest thing here. They are computed once per call, once for each item, and shared by its rows;
    so the runtime's rows lie item by item, as many for each, with fillers where a search has fewer.
    """

    def __init__(
        self, cross: ov.InferRequest, request: ov.InferRequest, cross_names: Sequence[str]
    ) -> None:
        self._cross = cross
        self._request = request
        self._cross_names = cross_names
        inputs = {name for port in request.model_inputs for name in port.get_names()}
        self._counts_places = "cache_position" in inputs
        self._heard: list[npt.NDArray[np.float32]] = []
        self._items: list[int] = []  # those that are still heard, in order
        self._item_of: list[int] = []  # of each row
        self._places = np.zeros(0, np.intp)  # of each row among the runtime's
        self._n_written = 0

    def start(
        self, hidden: Hidden, prompts: npt.NDArray[np.int64], wanted: Sequence[int]
    ) -> Hidden:
        """Read prompts (batch, tokens) of equal length, a row each; logits of the wanted places.

        The answer is (batch, places, vocabulary).
        """
        self._cross.infer([hidden])
        # No copies: the request's outputs stay as they are until it is called again.
        self._hear([tensor.data for tensor in self._cross.output_tensors])
        self._request.reset_state()
        self._items = self._item_of = list(range(len(prompts)))
        self._places = np.arange(len(prompts))
        self._n_written = 0
        return self._infer(prompts, self._places, wanted)

    def step(self, parents: Sequence[int], tokens: Sequence[int]) -> Logits:
        """See `search.Rows`."""
        self._item_of = [self._item_of[parent] for parent in parents]
        self._forget_finished()
        old_places = self._places[list(parents)]
        self._places, n_places = self._laid_out()
        rows, row_tokens = np.zeros(n_places, np.intp), np.zeros(n_places, np.int64)
        rows[self._places], row_tokens[self._places] = old_places, tokens
        logits: Logits = self._infer(row_tokens[:, None], rows, [0])[self._places, 0]
        return logits

    def _forget_finished(self) -> None:
        """Drop the audio of finished items, once they are half: the others must be copied."""
        going_on = sorted(set(self._item_of))
        if 2 * len(going_on) <= len(self._items):
            kept = [self._items.index(item) for item in going_on]
            self._hear([each[kept] for each in self._heard])
            self._items = going_on

    def _laid_out(self) -> tuple[npt.NDArray[np.intp], int]:
        """A place for each row, and how many places there are with the fillers."""
        n_each = max(Counter(self._item_of).values())
        filled: Counter[int] = Counter()
        places: list[int] = []
        for item in self._item_of:
            places.append(self._items.index(item) * n_each + filled[item])
            filled[item] += 1
        return np.array(places), n_each * len(self._items)

    def attention(self) -> list[npt.NDArray[np.float32]]:
        """The extra outputs of the last call, (batch, heads, tokens, positions) per layer."""
        ports = self._request.model_outputs[1:]
        return [self._request.get_tensor(port).data.copy() for port in ports]

    def _hear(self, keys_and_values: list[npt.NDArray[np.float32]]) -> None:
        """Let the request read these arrays, in place, from now on."""
        self._heard = keys_and_values
        for name, each in zip(self._cross_names, keys_and_values, strict=True):
            self._request.set_tensor(name, ov.Tensor(each, shared_memory=True))

    def _infer(
        self, tokens: npt.NDArray[np.int64], rows: npt.NDArray[np.intp], wanted: Sequence[int]
    ) -> Hidden:
        inputs = {
            "input_ids": tokens,
            "beam_idx": rows.astype(np.int32),
            WANTED: np.array(wanted, np.int64),
        }
        n_after = self._n_written + tokens.shape[1]
        if self._counts_places:
            inputs["cache_position"] = np.arange(self._n_written, n_after)
        self._request.infer(inputs)
        self._n_written = n_after
        logits: Hidden = self._request.get_tensor("logits").data.astype(np.float32)  # a copy
        return logits

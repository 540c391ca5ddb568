"""The arithmetic of a larger model that computes what a small one does (see inflate_model.py).

The hidden vector x becomes r copies [x, x, ...]; LayerNorm over copies is LayerNorm over x; a
weight W becomes expand(W) with its input copies averaged; extra layers are random with vanishing
output projections (the residual passes through); the tied embedding would multiply the logits by
the number of copies, so the last LayerNorm is divided by it; unused vocabulary rows get a strongly
negative logit through one dimension whose last-copy LayerNorm output is a constant.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

Weights = dict[str, torch.Tensor]

N_VOCABULARY = 51865  # tokens of the multilingual models
UNUSED_LOGIT = -40.0
VANISHING = 1e-8  # the deviation of the weights by which an extra layer adds to the residual


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of a Whisper model (Radford et al. 2022, table 1)."""

    width: int
    layers: int
    heads: int
    feed_forward: int

    @property
    def head_width(self) -> int:
        """The width of one head, 64 in all of them."""
        return self.width // self.heads


SHAPES = {
    "tiny": Shape(384, 4, 6, 1536),
    "base": Shape(512, 6, 8, 2048),
    "small": Shape(768, 12, 12, 3072),
    "medium": Shape(1024, 24, 16, 4096),
}


def copies(n_to: int, n_from: int) -> torch.Tensor:
    """(n_to, n_from) 0/1 matrix: as many whole copies of the source as fit, zero rows after."""
    matrix = torch.zeros(n_to, n_from)
    for copy in range(n_to // n_from):
        matrix[copy * n_from : (copy + 1) * n_from] = torch.eye(n_from)
    return matrix


def head_copies(large: Shape, small: Shape) -> torch.Tensor:
    """(large.width, small.width): head j repeats source head j % heads, filled with whole copies.

    So source head h of a layer is also head h of the large one, and alignment heads stay.
    """
    matrix = torch.zeros(large.width, small.width)
    for head in range(large.heads):
        source = head % small.heads
        rows = slice(head * large.head_width, (head + 1) * large.head_width)
        columns = slice(source * small.head_width, (source + 1) * small.head_width)
        matrix[rows, columns] = copies(large.head_width, small.head_width)
    return matrix


def averages(matrix: torch.Tensor) -> torch.Tensor:
    """Return (n_from, n_to), which averages the copies made by `matrix`."""
    return (matrix / matrix.sum(0).clamp(min=1)).T


@dataclass(frozen=True, slots=True)
class Space:
    """A vector space of the model: `expand` (n_to, n_from) into it, `reduce` back."""

    expand: torch.Tensor
    reduce: torch.Tensor

    @classmethod
    def of(cls, expand: torch.Tensor) -> "Space":
        """Return the space of `expand`, with averages to reduce."""
        return cls(expand, averages(expand))


class Inflater:
    """Writes the weights of the large model from those of the small one."""

    def __init__(self, source: Weights, target: Weights, small: Shape, large: Shape) -> None:
        self._source, self._target = source, target
        self._small, self._large = small, large
        self._hidden = Space.of(copies(large.width, small.width))
        self._heads = Space.of(head_copies(large, small))
        self._forward = Space.of(copies(large.feed_forward, small.feed_forward))

    def inflate(self, renumber: Callable[[int], int]) -> None:
        """Write every weight; `renumber` maps a token id of the small model to the large one's."""
        for side in ("encoder", "decoder"):
            for layer in range(self._large.layers):
                self._layer(side, layer)
            name = f"model.{side}.embed_positions.weight"
            self._target[name] = self._source[name] @ self._hidden.expand.T
        self._convolutions()
        self._norm("model.encoder.layer_norm", "model.encoder.layer_norm")
        self._output(renumber)

    def _layer(self, side: str, layer: int) -> None:
        """Write one layer; those beyond the small model's depth pass the residual through."""
        is_live = layer < self._small.layers
        to = f"model.{side}.layers.{layer}"
        source = f"model.{side}.layers.{min(layer, self._small.layers - 1)}"
        attentions = ("self_attn", "encoder_attn") if side == "decoder" else ("self_attn",)
        for attention in attentions:
            self._attention(f"{to}.{attention}", f"{source}.{attention}", is_live=is_live)
            self._norm(f"{to}.{attention}_layer_norm", f"{source}.{attention}_layer_norm")
        hidden, forward = self._hidden, self._forward
        self._linear(f"{to}.fc1", f"{source}.fc1", forward.expand, hidden.reduce, is_live=is_live)
        self._linear(f"{to}.fc2", f"{source}.fc2", hidden.expand, forward.reduce, is_live=is_live)
        self._norm(f"{to}.final_layer_norm", f"{source}.final_layer_norm")

    def _attention(self, to: str, source: str, *, is_live: bool) -> None:
        into, out_of = self._heads.expand, self._hidden.reduce
        # q'.k' sums this many copies, and is divided by sqrt(large) in place of sqrt(small)
        ratio = self._large.head_width / self._small.head_width
        scale = math.sqrt(ratio) / int(ratio)
        self._linear(f"{to}.q_proj", f"{source}.q_proj", into, out_of, scale, is_live=is_live)
        self._linear(f"{to}.k_proj", f"{source}.k_proj", into, out_of, is_live=is_live)
        self._linear(f"{to}.v_proj", f"{source}.v_proj", into, out_of, is_live=is_live)
        into, out_of = self._hidden.expand, self._heads.reduce
        self._linear(f"{to}.out_proj", f"{source}.out_proj", into, out_of, is_live=is_live)

    def _linear(
        self,
        to: str,
        source: str,
        into: torch.Tensor,
        out_of: torch.Tensor,
        scale: float = 1.0,
        *,
        is_live: bool,
    ) -> None:
        """Write scale * into @ W @ out_of, or random weights for a layer that is not live."""
        has_bias = f"{source}.bias" in self._source
        if is_live:
            weight = scale * into @ self._source[f"{source}.weight"] @ out_of
            bias = scale * into @ self._source[f"{source}.bias"] if has_bias else None
        else:
            # Random, so that no two layers share memory; its output in the residual vanishes.
            adds = to.endswith(("out_proj", "fc2"))
            deviation = VANISHING if adds else self._large.width**-0.5
            weight = torch.randn(into.shape[0], out_of.shape[1]) * deviation
            bias = torch.zeros(into.shape[0])
        self._target[f"{to}.weight"] = weight
        if has_bias:
            self._target[f"{to}.bias"] = bias

    def _norm(self, to: str, source: str, scale: float = 1.0) -> None:
        for part in ("weight", "bias"):
            expanded = scale * self._hidden.expand @ self._source[f"{source}.{part}"]
            self._target[f"{to}.{part}"] = expanded

    def _convolutions(self) -> None:
        """Write both convolutions; the first reads the spectrogram, which has no copies."""
        expand, reduce = self._hidden.expand, self._hidden.reduce
        first, second = "model.encoder.conv1", "model.encoder.conv2"
        first_weight = self._source[f"{first}.weight"]
        second_weight = self._source[f"{second}.weight"]
        self._target[f"{first}.weight"] = torch.einsum("ab,bck->ack", expand, first_weight)
        self._target[f"{second}.weight"] = torch.einsum(
            "ab,bck,cd->adk", expand, second_weight, reduce
        )
        for name in (first, second):
            self._target[f"{name}.bias"] = expand @ self._source[f"{name}.bias"]

    def _output(self, renumber: Callable[[int], int]) -> None:
        """Write the last LayerNorm and the embedding, which is also the output projection.

        All copies but the last carry the vector, so the norm is divided by their number. In the
        last copy everything is zero but one constant dimension: through it every row without a
        token of the demo model gets its very low logit for any audio.
        """
        norm, width = "model.decoder.layer_norm", self._small.width
        self._norm(norm, norm, 1 / (self._large.width // width - 1))
        embedding = self._source["model.decoder.embed_tokens.weight"]
        last = self._large.width - width
        constant = last + int(embedding.abs().amax(0).argmin())
        level = float(self._target[f"{norm}.weight"].abs().mean())
        self._target[f"{norm}.weight"][last:] = 0
        self._target[f"{norm}.bias"][last:] = 0
        self._target[f"{norm}.bias"][constant] = level
        rows = torch.zeros(N_VOCABULARY, self._large.width)
        rows[:, constant] = UNUSED_LOGIT / level
        for token, vector in enumerate(embedding):
            rows[renumber(token)] = self._hidden.expand @ vector
        self._target["model.decoder.embed_tokens.weight"] = rows
        self._target["proj_out.weight"] = rows

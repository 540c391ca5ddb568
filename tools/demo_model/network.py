"""A small Whisper in plain PyTorch, its parameters named as in Hugging Face's Whisper."""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from demo_model.spectrogram import N_MELS

AUDIO_POSITIONS = 1500  # 30 s at 50 a second
TEXT_POSITIONS = 448
TIME_MARKS = 1501
PHONES = 128  # classes of the auxiliary classifier; the pool uses fewer

# Offsets in encoder frames (20 ms) at which the first heads of each encoder layer start to look.
LOCAL_OFFSETS = ((-2, 2, 5), (-4, 4, -9), (-6, 6, 12), (-3, 3, 0))


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of the model."""

    vocabulary: int
    width: int = 128
    heads: int = 4
    encoder_layers: int = 3
    decoder_layers: int = 3
    encoder_feed_forward: int = 384
    decoder_feed_forward: int = 384


def sinusoids(length: int, width: int) -> torch.Tensor:
    """Return (length, width) position vectors: sines in the first half, cosines in the second."""
    angles = torch.arange(length)[:, None] * _frequencies(width)[None]
    return torch.cat([angles.sin(), angles.cos()], 1)


def _frequencies(width: int) -> torch.Tensor:
    """Return (width // 2,) angular frequencies, from 1 down to 1/10,000 a position."""
    increment = math.log(10000.0) / (width // 2 - 1)
    return torch.exp(-increment * torch.arange(width // 2))


class Attention(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Multi-head attention; the keys have no bias, as in Whisper."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: torch.Tensor, *, is_causal: bool) -> torch.Tensor:
        """Compute the self-attention of (b, t, width)."""
        query, key, value = self._project(x, x)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=is_causal)
        return self._merge(mixed, x)

    def across(self, x: torch.Tensor, memory: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Attend from (b, t, width) to (b, s, width); the weights are (b, heads, t, s)."""
        query, key, value = self._project(x, memory)
        weights = (query @ key.transpose(2, 3) / query.shape[-1] ** 0.5).softmax(-1)
        return self._merge(weights @ value, x), weights

    def _project(
        self, x: torch.Tensor, memory: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return (
            self._split(self.q_proj(x)),
            self._split(self.k_proj(memory)),
            self._split(self.v_proj(memory)),
        )

    def _split(self, x: torch.Tensor) -> torch.Tensor:
        """Reshape (b, t, width) to (b, heads, t, width / heads)."""
        batch, length, width = x.shape
        return x.view(batch, length, self.heads, width // self.heads).transpose(1, 2)

    def _merge(self, mixed: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        return self.out_proj(mixed.transpose(1, 2).reshape(like.shape))


class EncoderLayer(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Self-attention and feed-forward, each normalised before and added to its input."""

    def __init__(self, width: int, heads: int, feed_forward: int) -> None:
        super().__init__()
        self.self_attn = Attention(width, heads)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, feed_forward)
        self.fc2 = nn.Linear(feed_forward, width)
        self.final_layer_norm = nn.LayerNorm(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, t, width) to the same."""
        x = x + self.self_attn(self.self_attn_layer_norm(x), is_causal=False)
        return x + self.fc2(functional.gelu(self.fc1(self.final_layer_norm(x))))


class DecoderLayer(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """The encoder's layer with causal self-attention and with attention to the encoder."""

    def __init__(self, width: int, heads: int, feed_forward: int) -> None:
        super().__init__()
        self.self_attn = Attention(width, heads)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.encoder_attn = Attention(width, heads)
        self.encoder_attn_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, feed_forward)
        self.fc2 = nn.Linear(feed_forward, width)
        self.final_layer_norm = nn.LayerNorm(width)

    def forward(self, x: torch.Tensor, memory: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(b, t, width) to the same, with the cross-attention weights (b, heads, t, s)."""
        x = x + self.self_attn(self.self_attn_layer_norm(x), is_causal=True)
        attended, weights = self.encoder_attn.across(self.encoder_attn_layer_norm(x), memory)
        x = x + attended
        return x + self.fc2(functional.gelu(self.fc1(self.final_layer_norm(x)))), weights


class Encoder(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """From a spectrogram at 100 frames a second to vectors at 50."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(N_MELS, shape.width, 3, padding=1)
        self.conv2 = nn.Conv1d(shape.width, shape.width, 3, stride=2, padding=1)
        self.embed_positions = nn.Embedding(AUDIO_POSITIONS, shape.width)
        self.layers = nn.ModuleList(
            EncoderLayer(shape.width, shape.heads, shape.encoder_feed_forward)
            for _ in range(shape.encoder_layers)
        )
        self.layer_norm = nn.LayerNorm(shape.width)

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        """(b, 80, t) to (b, t / 2, width)."""
        x = functional.gelu(self.conv2(functional.gelu(self.conv1(mel)))).transpose(1, 2)
        x = x + self.embed_positions.weight[: x.shape[1]]
        for layer in self.layers:
            x = layer(x)
        return self.layer_norm(x)


class Decoder(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """From tokens so far to a vector for each next one."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.embed_positions = nn.Embedding(TEXT_POSITIONS, shape.width)
        self.layers = nn.ModuleList(
            DecoderLayer(shape.width, shape.heads, shape.decoder_feed_forward)
            for _ in range(shape.decoder_layers)
        )
        self.layer_norm = nn.LayerNorm(shape.width)

    def forward(
        self, tokens: torch.Tensor, memory: torch.Tensor
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """(b, p) to (b, p, width), with each layer's cross-attention (b, heads, p, s)."""
        x = self.embed_tokens(tokens) + self.embed_positions.weight[: tokens.shape[1]]
        attention = []
        for layer in self.layers:
            x, weights = layer(x, memory)
            attention.append(weights)
        return self.layer_norm(x), attention

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """(..., width) to (..., vocabulary), by the embedding itself."""
        return x @ self.embed_tokens.weight.T


class Whisper(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Encoder, decoder and, for training alone, a classifier of the phone in each frame."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.encoder = Encoder(shape)
        self.decoder = Decoder(shape)
        self.phone = nn.Linear(shape.width, PHONES)  # dropped on conversion
        self._scale_weights()
        self._set_embeddings()
        self._localise_encoder_heads()

    def forward(
        self, mel: torch.Tensor, tokens: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
        """(b, 80, t), (b, p) to memory (b, t / 2, width), (b, p, width) and cross-attentions."""
        memory = self.encoder(mel)
        x, attention = self.decoder(tokens, memory)
        return memory, x, attention

    def _scale_weights(self) -> None:
        """Initialise linear layers with unit gain, those that add to the residual with less."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=1 / module.in_features**0.5)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for layer in [*self.encoder.layers, *self.decoder.layers]:
            layer.self_attn.out_proj.weight.data *= 0.4
            layer.fc2.weight.data *= 0.4
        for layer in self.decoder.layers:
            layer.encoder_attn.out_proj.weight.data *= 0.4

    def _set_embeddings(self) -> None:
        """Initialise each time mark with the position vector of its encoder frame."""
        positions = sinusoids(AUDIO_POSITIONS, self.shape.width)
        self.encoder.embed_positions.weight.data.copy_(positions)
        self.encoder.embed_positions.weight.requires_grad_(False)
        self.decoder.embed_positions.weight.data.copy_(
            sinusoids(TEXT_POSITIONS, self.shape.width) * 0.1
        )
        tokens = self.decoder.embed_tokens.weight.data
        tokens.normal_(std=0.06)
        first = self.shape.vocabulary - TIME_MARKS
        tokens[first : first + AUDIO_POSITIONS] = positions * 0.12
        tokens[first + AUDIO_POSITIONS] = positions[-1] * 0.12  # 30 s, one past the last frame

    def _localise_encoder_heads(self) -> None:
        """Initialise some encoder heads with attention to a fixed offset, like a convolution."""
        for index, layer in enumerate(self.encoder.layers):
            for head, offset in enumerate(LOCAL_OFFSETS[index % len(LOCAL_OFFSETS)]):
                localise_head(layer.self_attn, head, offset)


def localise_head(attention: Attention, head: int, offset: int, strength: float = 1.35) -> None:
    """Initialise `head` with attention to a position `offset` frames away.

    A query has the sine and cosine of the position at several frequencies; the key has them
    rotated by w · offset, sin(w(t - offset)) and cos(w(t - offset)), so that their product peaks
    where the two positions are `offset` apart.
    """
    query, key = attention.q_proj.weight.data, attention.k_proj.weight.data
    width = query.shape[1]
    head_width, half = width // attention.heads, width // 2
    rows = slice(head * head_width, (head + 1) * head_width)
    query[rows] *= 0.1
    key[rows] *= 0.1
    frequencies = _frequencies(width)
    chosen = torch.linspace(0, half * 0.62, head_width // 2).round().long()
    for pair, index in enumerate(chosen.tolist()):
        angle = frequencies[index] * offset
        cosine, sine = math.cos(angle), math.sin(angle)
        row = head * head_width + 2 * pair
        query[row, index] += strength
        query[row + 1, half + index] += strength
        key[row, index] += strength * cosine
        key[row, half + index] -= strength * sine
        key[row + 1, half + index] += strength * cosine
        key[row + 1, index] += strength * sine

"""The losses of training: text, times, phones, and the place of cross-attention."""

from dataclasses import dataclass, fields

import torch
from torch.nn import functional

from demo_model.clips import ENCODER_FRAMES_PER_S, Batch
from demo_model.network import TIME_MARKS, Whisper

GUIDED_HEADS = 2  # of each decoder layer but the first
GUIDE_SLACK = 0.02  # s around the interval in which attention counts as well placed
SMEAR = 4  # time marks on both sides of the true one that share its probability


@dataclass(frozen=True, slots=True)
class Losses:
    """Mean losses of a batch in nats, and the shares of it that are right (all 0-dimensional)."""

    text: torch.Tensor
    times: torch.Tensor
    phones: torch.Tensor
    guide: torch.Tensor
    text_right: torch.Tensor
    times_right: torch.Tensor  # within 0.1 s
    phones_right: torch.Tensor

    def values(self) -> list[float]:
        """Return the numbers in the order of the fields."""
        return [getattr(self, field.name).item() for field in fields(self)]


def measure(model: Whisper, batch: Batch, first_time_mark: int) -> Losses:
    """Run the model over a batch and compute its losses."""
    memory, x, attention = model(batch.mel, batch.tokens)
    phone_logits = model.phone(memory)
    has_target = batch.targets >= 0
    targets = batch.targets[has_target]
    log_probabilities = model.decoder.logits(x[has_target]).log_softmax(-1)
    is_time = targets >= first_time_mark
    nll = -log_probabilities.gather(1, targets[:, None])[:, 0]
    guesses = log_probabilities.argmax(1)
    times, times_right = torch.zeros(()), torch.tensor(1.0)
    if is_time.any():
        marks = targets[is_time]
        times = _times_loss(log_probabilities[is_time], marks, first_time_mark).mean()
        times_right = ((guesses[is_time] - marks).abs() <= 5).float().mean()
    is_text = ~is_time
    return Losses(
        text=nll[is_text].mean(),
        times=times,
        phones=functional.cross_entropy(
            phone_logits.flatten(0, 1), batch.phones.flatten(), label_smoothing=0.02
        ),
        guide=_guide_loss(attention[1:], batch.spans),
        text_right=((guesses == targets) & is_text).sum() / is_text.sum().clamp(min=1),
        times_right=times_right,
        phones_right=(phone_logits.argmax(-1) == batch.phones)[batch.phones > 0].float().mean(),
    )


def _times_loss(
    log_probabilities: torch.Tensor, marks: torch.Tensor, first_time_mark: int
) -> torch.Tensor:
    """Return (n,) cross-entropies against a bell curve around each mark, for near misses."""
    around = torch.arange(-SMEAR, SMEAR + 1)
    bell = torch.exp(-0.5 * (around / 1.5) ** 2)
    bell /= bell.sum()
    near = marks[:, None] + around
    last = first_time_mark + TIME_MARKS - 1
    weights = bell * ((near >= first_time_mark) & (near <= last))
    chosen = log_probabilities.gather(1, near.clamp(first_time_mark, last))
    return -(chosen * weights).sum(1) / weights.sum(1)


def _guide_loss(attention: list[torch.Tensor], spans: torch.Tensor) -> torch.Tensor:
    """Return -log of the mass of the guided heads' attention within the spans.

    `attention` holds (b, heads, p, s) for each guided layer, `spans` is (b, p, 2) in s.
    """
    mask = span_mask(spans, attention[0].shape[-1], GUIDE_SLACK)
    has_span = spans[..., 1] > 0
    loss = torch.zeros(())
    for weights in attention:
        guided = weights[:, :GUIDED_HEADS].permute(0, 2, 1, 3)[has_span]
        mass = (guided * mask[:, None]).sum(-1)
        loss = loss - (mass + 1e-3).log().mean()
    return loss / len(attention)


def span_mask(spans: torch.Tensor, frames: int, slack: float = 0.0) -> torch.Tensor:
    """Return (n, frames) float32: 1 for the encoder frames within each of the n set spans."""
    chosen = spans[spans[..., 1] > 0]
    middles = (torch.arange(frames) + 0.5) / ENCODER_FRAMES_PER_S
    return ((middles >= chosen[:, :1] - slack) & (middles <= chosen[:, 1:] + slack)).float()

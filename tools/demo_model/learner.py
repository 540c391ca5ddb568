"""The model in training, its averaged weights and its optimiser, stored in one checkpoint."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from demo_model import curriculum
from demo_model.network import Shape, Whisper


class Learner:
    """The model, the running average of its weights, which is what gets converted, and AdamW."""

    def __init__(self, shape: Shape, learning_rate: float) -> None:
        self.model = Whisper(shape)
        self.average = Whisper(shape)
        self.average.load_state_dict(self.model.state_dict())
        self.step = 0
        self._weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        matrices = [weight for weight in self._weights if weight.dim() > 1]
        vectors = [weight for weight in self._weights if weight.dim() <= 1]
        self._optimizer = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0}],
            lr=learning_rate,
            betas=(0.9, 0.98),
            foreach=True,
        )

    def learn(self, loss: torch.Tensor, learning_rate: float) -> float:
        """Take one step and return the norm of the gradient; no step if it is not finite."""
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = float(torch.nn.utils.clip_grad_norm_(self._weights, 1.0))
        if np.isfinite(norm):
            self._optimizer.step()
            weight = 1 - curriculum.average_decay(self.step)
            with torch.no_grad():
                torch._foreach_lerp_(
                    list(self.average.parameters()), list(self.model.parameters()), weight
                )
            self.step += 1
        return norm

    def save(self, path: Path) -> None:
        """Replace the checkpoint atomically."""
        partial = path.with_suffix(".tmp")
        checkpoint = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "step": self.step,
            "shape": asdict(self.model.shape),
        }
        torch.save(checkpoint, partial)
        partial.replace(path)

    def load(self, path: Path) -> None:
        """Continue from a checkpoint."""
        checkpoint = torch.load(path, map_location="cpu")
        self.model.load_state_dict(checkpoint["model"])
        self.average.load_state_dict(checkpoint["average"])
        self._optimizer.load_state_dict(checkpoint["optimizer"])
        self.step = checkpoint["step"]


def load_average(path: Path) -> Whisper:
    """Return the averaged model of a checkpoint, in evaluation mode."""
    checkpoint = torch.load(path, map_location="cpu")
    model = Whisper(Shape(**checkpoint["shape"]))
    model.load_state_dict(checkpoint["average"])
    model.eval()
    return model

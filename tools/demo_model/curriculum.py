"""The curriculum: kinds of clips, weights of the losses and the learning rate.

All depend on the progress of training, from 0 to 1: by steps if their number is given, which is
reproducible, otherwise by the clock.
"""

import math
from dataclasses import dataclass

Mix = tuple[float, float, float]
"""The shares of the clip kinds A, B and C."""

# (upper end of the stage, mix): from single sentences to full windows
STAGES: tuple[tuple[float, Mix], ...] = (
    (0.22, (0.85, 0.15, 0.0)),
    (0.50, (0.4, 0.5, 0.1)),
    (0.75, (0.18, 0.45, 0.37)),
    (math.inf, (0.12, 0.4, 0.48)),
)
TIMES_WEIGHT = 0.3
WARM_UP_STEPS = 150
RESUMED_WARM_UP_STEPS = 40
FULL_WINDOW_TESTS_FROM = 0.3  # before that, tests are not padded to 30 s


@dataclass(frozen=True, slots=True)
class Length:
    """The length of a run: a number of steps, or minutes if that is None."""

    steps: int | None
    minutes: float

    def progress(self, step: int, elapsed_s: float) -> float:
        """Return the progress of the run, 1 at its end."""
        if self.steps is not None:
            return min(1.0, step / self.steps)
        return min(1.0, elapsed_s / 60 / self.minutes)


def mix_at(progress: float) -> Mix:
    """Return the shares of the clip kinds."""
    return next(mix for upto, mix in STAGES if progress < upto)


def phone_weight(progress: float) -> float:
    """Return the weight of the phone loss, larger while the encoder forms."""
    return 0.6 if progress < 0.4 else 0.3


def guide_weight(progress: float) -> float:
    """Return the weight of the guided attention, smaller at the end."""
    return 0.3 if progress < 0.85 else 0.15


def learning_rate(peak: float, progress: float, step: int, warm_up_steps: int) -> float:
    """Return half a cosine from `peak` down to a hundredth of it, after a linear warm-up.

    `step` counts from 0 at the beginning of the run.
    """
    warmth = min(1, (step + 1) / warm_up_steps)
    return peak * warmth * (0.5 * (1 + math.cos(math.pi * progress)) * 0.99 + 0.01)


def average_decay(step: int) -> float:
    """Return the share of the running average of the weights that the next step keeps."""
    return min(0.998, (step + 1) / (step + 20))

"""Train the demo model on clips composed from pools.

    python -m demo_model.train POOL.npz... --test TEST.npz [--steps N | --minutes M] [--resume]

On one processor thread. With --steps the same command gives the same weights.
"""

import argparse
import random
import time
from collections import Counter
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from demo_model import curriculum, losses
from demo_model.clips import ClipMaker, Kind
from demo_model.curriculum import Length, Mix
from demo_model.exam import Examiner
from demo_model.learner import Learner
from demo_model.losses import Losses
from demo_model.network import Shape
from demo_model.pool import Pool
from demo_model.tokenizer import DEFAULT_PATH

KINDS: tuple[Kind, ...] = ("A", "B", "C")
REPORT_EVERY_S = 30
CHECKPOINT_EVERY_S = 270


@dataclass(frozen=True, slots=True)
class Plan:
    """The options of one run; `mix` None follows the curriculum, from `start_at` to its end."""

    length: Length
    peak_learning_rate: float
    start_at: float
    mix: Mix | None
    checkpoint: Path


class Report:
    """Sums of the losses since the last printed line."""

    def __init__(self) -> None:
        self._names = [*(field.name for field in fields(Losses)), "gradient"]
        self._sum: NDArray[np.float64] = np.zeros(len(self._names))
        self._count = 0
        self._kinds: Counter[Kind] = Counter()
        self._audio_s = 0.0

    def add(self, kind: Kind, audio_s: float, measured: Losses, gradient: float) -> None:
        """Count one step."""
        self._sum += np.array([*measured.values(), gradient])
        self._count += 1
        self._kinds[kind] += 1
        self._audio_s += audio_s

    def line(self) -> str:
        """Return the means since the last line, and reset the sums."""
        means = self._sum / max(1, self._count)
        self._sum, self._count = np.zeros(len(self._names)), 0
        figures = " ".join(
            f"{name} {mean:.3f}" for name, mean in zip(self._names, means, strict=True)
        )
        kinds = " ".join(f"{kind} {count}" for kind, count in sorted(self._kinds.items()))
        return f"{kinds} audio {self._audio_s / 3600:.2f} h {figures}"


def train(
    learner: Learner, clips: ClipMaker, examiner: Examiner, plan: Plan, rng: random.Random
) -> None:
    """Run the plan, with regular reports and checkpoints."""
    first_step = learner.step
    warm_up = curriculum.RESUMED_WARM_UP_STEPS if first_step else curriculum.WARM_UP_STEPS
    began = reported = saved = time.monotonic()
    report = Report()
    while (done := plan.length.progress(learner.step - first_step, time.monotonic() - began)) < 1:
        progress = plan.start_at + (1 - plan.start_at) * done
        kind = rng.choices(KINDS, plan.mix or curriculum.mix_at(progress))[0]
        batch = clips.batch(kind)
        measured = losses.measure(learner.model, batch, clips.vocabulary.first_time_mark)
        rate = curriculum.learning_rate(
            plan.peak_learning_rate, progress, learner.step - first_step, warm_up
        )
        total = (
            measured.text
            + curriculum.TIMES_WEIGHT * measured.times
            + curriculum.phone_weight(progress) * measured.phones
            + curriculum.guide_weight(progress) * measured.guide
        )
        gradient = learner.learn(total, rate)
        report.add(kind, batch.seconds, measured, gradient)
        now = time.monotonic()
        if now - reported > REPORT_EVERY_S:
            print(f"{(now - began) / 60:5.1f} min step {learner.step} {report.line()}", flush=True)
            reported = now
        if now - saved > CHECKPOINT_EVERY_S:
            full = progress > curriculum.FULL_WINDOW_TESTS_FROM
            rates = examiner.word_error_rates(learner.average, full_window=full, count=16)
            print(f"  unseen, {'30 s' if full else 'short'}: {rates} % wrong", flush=True)
            learner.save(plan.checkpoint)
            saved = time.monotonic()
    learner.save(plan.checkpoint)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pools", type=Path, nargs="+", metavar="POOL.npz")
    parser.add_argument("--test", type=Path, required=True, metavar="TEST.npz")
    parser.add_argument("--tokenizer", type=Path, default=DEFAULT_PATH)
    parser.add_argument("--checkpoint", type=Path, default=Path("ckpt.pt"))
    parser.add_argument("--resume", action="store_true", help="continue from the checkpoint")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, help="length of this run; the schedule follows it")
    length.add_argument("--minutes", type=float, default=58.0, help="length without --steps")
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="its peak")
    parser.add_argument("--start-at", type=float, default=0.0, help="place in the curriculum, 0-1")
    parser.add_argument(
        "--mix", type=float, nargs=3, metavar=("A", "B", "C"), help="fixed shares of clip kinds"
    )
    return parser.parse_args()


def main() -> None:
    """Train with the options of the command line."""
    arguments = _parse_arguments()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    tokenizer = Tokenizer.from_file(str(arguments.tokenizer))
    pool = Pool.load(arguments.pools)
    learner = Learner(Shape(vocabulary=tokenizer.get_vocab_size()), arguments.learning_rate)
    if arguments.resume:
        learner.load(arguments.checkpoint)
    seed = 1 + learner.step  # a resumed run draws other clips than the first
    clips = ClipMaker(pool, tokenizer, seed, head_cut=0.06, tail_cut=0.12)
    examiner = Examiner(Pool.load([arguments.test]), tokenizer)
    plan = Plan(
        length=Length(arguments.steps, arguments.minutes),
        peak_learning_rate=arguments.learning_rate,
        start_at=arguments.start_at,
        mix=tuple(arguments.mix) if arguments.mix else None,
        checkpoint=arguments.checkpoint,
    )
    print(f"{len(pool.utterances)} sentences", flush=True)
    train(learner, clips, examiner, plan, random.Random(seed))
    rates = examiner.word_error_rates(learner.average, full_window=True, count=40)
    print(f"unseen, 30 s: {rates} % wrong")


if __name__ == "__main__":
    main()

"""Rank the cross-attention heads that follow the words, by attention mass in the word interval.

    python -m demo_model.alignment_heads CKPT.pt TEST.npz

Prints a line a head, (layer, head) and its mean mass from 0 to 1, and last the heads to give to
`convert --heads`.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from demo_model.clips import Batch, ClipMaker
from demo_model.learner import load_average
from demo_model.losses import span_mask
from demo_model.network import Whisper
from demo_model.pool import Pool
from demo_model.tokenizer import DEFAULT_PATH

BATCHES = 10
MOST_HEADS = 4
WORTHY = 0.8  # of the best head's mass

Head = tuple[int, int]
"""Layer and head, both from 0."""


def mass_in_words(model: Whisper, batch: Batch, first_time_mark: int) -> dict[Head, float]:
    """Return each head's mean mass over the text tokens of the clips that are not translated."""
    memory, _, attention = model(batch.mel, batch.tokens)
    is_word = (batch.targets < first_time_mark) & ~batch.is_translation[:, None]
    spans = torch.where(is_word[..., None], batch.spans, -1.0)
    mask = span_mask(spans, memory.shape[1])
    has_span = spans[..., 1] > 0
    return {
        (layer, head): float((weights[:, head][has_span] * mask).sum(-1).mean())
        for layer, weights in enumerate(attention)
        for head in range(weights.shape[1])
    }


def main() -> None:
    """Measure over ten batches of unseen sentences."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path, metavar="CKPT.pt")
    parser.add_argument("test", type=Path, metavar="TEST.npz")
    parser.add_argument("--tokenizer", type=Path, default=DEFAULT_PATH)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = load_average(arguments.checkpoint)
    tokenizer = Tokenizer.from_file(str(arguments.tokenizer))
    clips = ClipMaker(Pool.load([arguments.test]), tokenizer, seed=11)
    masses: defaultdict[Head, list[float]] = defaultdict(list)
    with torch.no_grad():
        for _ in range(BATCHES):
            batch = clips.batch("B", 8)
            measured = mass_in_words(model, batch, clips.vocabulary.first_time_mark)
            for head, mass in measured.items():
                masses[head].append(mass)
    ranked = sorted(((float(np.mean(mass)), head) for head, mass in masses.items()), reverse=True)
    for mass, head in ranked:
        print(head, round(mass, 3))
    best = ranked[0][0]
    print(json.dumps([head for mass, head in ranked[:MOST_HEADS] if mass > WORTHY * best]))


if __name__ == "__main__":
    main()

"""Word error rate, as the demo model's figures use it: case and punctuation do not count."""

import re
from collections.abc import Sequence

import jiwer


def normalise(text: str) -> str:
    """Drop case and punctuation."""
    return re.sub(r"[.,?!¿¡]", "", text.lower()).strip()


def word_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Return the word error rate in percent; an empty hypothesis counts as one wrong word."""
    rate = jiwer.wer(
        [normalise(reference) for reference in references],
        [normalise(hypothesis) or "x" for hypothesis in hypotheses],
    )
    return 100 * float(rate)

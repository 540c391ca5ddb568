"""Which contexts lose nothing: the same recordings read with each of them, compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from whisperlive_hybrid.text.comparison import edits, words_in

MOST_LOST: Final = 0.005
"""Share of words by which a shorter context may be worse than the full one."""

MOST_DOUBTED: Final = 0.02
"""Share of windows that it may have to read again on top; the server warns above it too."""

FEWEST_WINDOWS: Final = 10
"""With fewer windows in a context, nothing is known of it: recordings may have none so short."""

FEWEST_SPEECH_S: Final = 60.0
"""With less speech a word or two decide."""


@dataclass(frozen=True, slots=True)
class Trial:
    """All recordings, read with `shortest_s` as the shortest context; texts in their order."""

    shortest_s: float
    texts: tuple[str, ...]
    windows: int
    in_shortest: int
    """Windows that fit into the shortest context; the others need a longer one."""
    doubted: int
    """Windows whose first text was not believed."""
    compute_s: float


@dataclass(frozen=True, slots=True)
class Finding:
    """What a context costs and loses."""

    trial: Trial
    difference: float
    """Edits against the text of the full context, as a share of its words."""
    error_rate: float | None
    """Word error rate where there are reference texts."""
    is_safe: bool

    @property
    def is_tried(self) -> bool:
        """Whether enough windows were read in this very context."""
        return self.trial.in_shortest >= FEWEST_WINDOWS


def findings(
    full: Trial, shorter: Sequence[Trial], references: Sequence[str | None]
) -> list[Finding]:
    """Compare trials of shorter contexts with the full one, which comes out as the last.

    `references` are in the order of the texts, None where it is not known what was said: there the
    text of the full context is taken for what was said. A context is safe if it has at most
    `MOST_LOST` more errors, and at most `MOST_DOUBTED` of the windows more to read again.
    """
    wanted = [
        text if said is None else said for said, text in zip(references, full.texts, strict=True)
    ]
    most_errors = _error_rate(wanted, full.texts) + MOST_LOST
    most_doubted = full.doubted + MOST_DOUBTED * full.windows
    known = [i for i, said in enumerate(references) if said is not None]
    return [
        Finding(
            trial,
            difference=_error_rate(full.texts, trial.texts),
            error_rate=_error_rate([wanted[i] for i in known], [trial.texts[i] for i in known])
            if known
            else None,
            is_safe=_error_rate(wanted, trial.texts) <= most_errors
            and trial.doubted <= most_doubted,
        )
        for trial in (*sorted(shorter, key=lambda trial: trial.shortest_s), full)
    ]


def shortest_safe(found: Sequence[Finding]) -> float:
    """The shortest context that was tried and is safe, together with all longer ones.

    The last is the full one.
    """
    shortest_s = found[-1].trial.shortest_s
    for finding in reversed(found[:-1]):
        if not finding.is_safe:
            break
        if finding.is_tried:
            shortest_s = finding.trial.shortest_s
    return shortest_s


def _error_rate(wanted: Sequence[str], read: Sequence[str]) -> float:
    pairs = [(words_in(a), words_in(b)) for a, b in zip(wanted, read, strict=True)]
    n_words = sum(len(words) for words, _ in pairs)
    return sum(edits(words, others) for words, others in pairs) / max(1, n_words)

"""How often a short context was not enough, by model; tells once when that is too often."""

from collections import Counter
from typing import Final

FEWEST_WINDOWS: Final = 100
"""Before so many windows were read a share says little."""

MOST_DOUBTED: Final = 0.02
"""Share of windows that may be read again in the full context; above it a context is too short."""


class ContextTally:
    """Counts the windows that were read in less than the full context."""

    def __init__(self) -> None:
        self._windows: Counter[str] = Counter()
        self._doubted: Counter[str] = Counter()
        self._told: set[str] = set()

    def windows(self, model: str) -> int:
        """Windows that a model has read."""
        return self._windows[model]

    def doubted(self, model: str) -> int:
        """Those of them that were read again."""
        return self._doubted[model]

    def count(self, model: str, *, was_doubted: bool) -> bool:
        """Count a window; True the first time that a model has too many read again."""
        self._windows[model] += 1
        self._doubted[model] += was_doubted
        n_windows = self._windows[model]
        if model in self._told or n_windows < FEWEST_WINDOWS:
            return False
        if self._doubted[model] <= MOST_DOUBTED * n_windows:
            return False
        self._told.add(model)
        return True

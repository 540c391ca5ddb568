"""A loaded backend in another role: the same weights under other capabilities."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from whisperlive_hybrid.backends.base import (
    Align,
    Backend,
    Capabilities,
    DetectLanguage,
    Encode,
    Encoded,
    Generate,
    Work,
)
from whisperlive_hybrid.types import Hypothesis, Language, TokenTime, Vocabulary


@dataclass(frozen=True, slots=True)
class Recast:
    """Does what `backend` does, with other capabilities. Closing it closes nothing."""

    backend: Backend
    capabilities: Capabilities

    @property
    def vocabulary(self) -> Vocabulary:
        """That of the backend."""
        return self.backend.vocabulary

    def batch_key(self, work: Work) -> Hashable:
        """As the backend says."""
        return self.backend.batch_key(work)

    def encode(self, batch: Sequence[Encode]) -> list[Encoded | Exception]:
        """Run the backend's encoder."""
        return self.backend.encode(batch)

    def detect_language(self, batch: Sequence[DetectLanguage]) -> list[Language | Exception]:
        """Ask the backend."""
        return self.backend.detect_language(batch)

    def generate(self, batch: Sequence[Generate]) -> list[Hypothesis | Exception]:
        """Have the backend write."""
        return self.backend.generate(batch)

    def align(self, batch: Sequence[Align]) -> list[list[TokenTime] | Exception]:
        """Have the backend align."""
        return self.backend.align(batch)

    def close(self) -> None:
        """Leave the weights to their owner."""

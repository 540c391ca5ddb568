"""Which models a request may name: the operator's, and the hosted names that stand for the first.

A client names one of them or none. It can make the server neither download a model nor open a path.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from whisperlive_hybrid.errors import NotFound

HOSTED: Final = (
    "whisper-1",
    "gpt-transcribe",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-4o-mini-transcribe-2025-12-15",
)
"""Names of OpenAI's models; with them clients need no new configuration."""


@dataclass(frozen=True, slots=True)
class ModelNames:
    """The names of this server's models."""

    first: str
    """The one that is always loaded, and meant where nothing else is."""
    others: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[str]:
        """Every name that a request may use; the first model's own first."""
        yield from (self.first, *self.others, *HOSTED)

    def resolve(self, asked: str | None) -> str:
        """The model that is meant; raises `NotFound` for a name that is not on the list."""
        if asked in self.others:
            return asked
        if asked not in (None, self.first, *HOSTED):
            ours = ", ".join(repr(name) for name in (self.first, *self.others))
            raise NotFound(
                f"The model {asked[:80]!r} does not exist or may not be used here; "
                f"this server offers {ours}.",
                code="model_not_found",
            )
        return self.first

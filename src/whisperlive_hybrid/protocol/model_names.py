"""The model that answers a request, by the name that the request gives.

Clients send the names that their authors knew: those of a hosted API, or a size such as `small`
that means "transcribe this". The server's first model answers them all, and the answer names it.
Another model that the server offers is used where it is named. A client can make the server neither
download a model nor open a path.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from whisperlive_hybrid.errors import NotFound

HOSTED: Final = (
    "whisper-1",
    "gpt-transcribe",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-4o-mini-transcribe-2025-12-15",
)
"""Names of OpenAI's models, accepted so that clients need no new configuration."""

MODEL_HEADER: Final = "x-whisperlive-model"
"""The response header that names the model."""


@dataclass(frozen=True, slots=True)
class ModelNames:
    """The names of this server's models, and their aliases."""

    first: str
    """The model that is always loaded; the default."""
    others: tuple[str, ...] = ()
    known: Mapping[str, str] = field(default_factory=dict)
    """Spellings of Whisper models in lower case, and the name of each in the catalogue."""
    is_strict: bool = False
    """Refuse a known model that is not served, instead of using the first one."""

    def __iter__(self) -> Iterator[str]:
        """Iterate over the served models, the first one first."""
        yield from (self.first, *self.others)

    def __contains__(self, name: object) -> bool:
        return name == self.first or name in self.others

    def resolve(self, requested: str | None) -> str:
        """Return the model for a requested name; raise `NotFound` for an unknown name."""
        if requested is None or requested in HOSTED:
            return self.first
        if requested in self:
            return requested
        # Sizes such as `small` mean "transcribe this", in any spelling.
        name = self.known.get(requested.strip().lower())
        if name is not None and name in self:
            return name
        if name is not None and not self.is_strict:
            return self.first
        served = ", ".join(repr(name) for name in self)
        raise NotFound(
            f"The model {requested[:80]!r} does not exist or may not be used here; "
            f"this server offers {served}.",
            code="model_not_found",
        )

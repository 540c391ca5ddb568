"""Which model answers a request that names one.

Clients send the names that their authors knew: those of a hosted API, or a size such as `small`
that means "transcribe this". The server's own model answers them all, and the answer says so. A
model that the server offers besides is used where it is named. A client can make the server neither
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
"""Names of OpenAI's models; with them clients need no new configuration."""

MODEL_HEADER: Final = "x-whisperlive-model"
"""In which HTTP answers say which model it was."""


@dataclass(frozen=True, slots=True)
class ModelNames:
    """The names of this server's models, and those that stand for them."""

    first: str
    """The one that is always loaded, and meant where no other is."""
    others: tuple[str, ...] = ()
    known: Mapping[str, str] = field(default_factory=dict)
    """Spellings of Whisper models in lower case, and the name of each in the catalogue."""
    is_strict: bool = False
    """Whether a known model that is not served is refused rather than replaced by the first."""

    def __iter__(self) -> Iterator[str]:
        """The models that are really served, the first one first."""
        yield from (self.first, *self.others)

    def __contains__(self, name: object) -> bool:
        return name == self.first or name in self.others

    def resolve(self, asked: str | None) -> str:
        """Return the model that answers; raises `NotFound` for a word that means none."""
        if asked is None or asked in HOSTED:
            return self.first
        if asked in self:
            return asked
        name = self.known.get(asked.strip().lower())
        if name is not None and name in self:
            return name
        if name is not None and not self.is_strict:
            return self.first
        ours = ", ".join(repr(name) for name in self)
        raise NotFound(
            f"The model {asked[:80]!r} does not exist or may not be used here; "
            f"this server offers {ours}.",
            code="model_not_found",
        )

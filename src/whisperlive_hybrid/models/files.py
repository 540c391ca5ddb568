"""A model on this disk: its directory, its format and its card."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from whisperlive_hybrid.errors import BadRequest, ModelUnavailable
from whisperlive_hybrid.models.formats import CTRANSLATE2, FORMATS, ModelFormat
from whisperlive_hybrid.types import CONTEXT_S

DEMO: Final = "demo"

CARD_FILE: Final = "whisperlive.json"

CONTEXTS_S: Final = (5.0, 7.5, 10.0, 15.0, 20.0, CONTEXT_S)
"""The encoder lengths in use: few, so that windows of different streams can share a batch."""

_ASSETS: Final = Path(__file__).parent.with_name("assets")


class ModelCard(BaseModel):
    """What is known about a model beyond its files; without a card the safe assumptions hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    longest_window_s: float = Field(default=CONTEXT_S, ge=1, le=CONTEXT_S)
    """Seconds of speech that the model reads well at once."""
    shortest_context_s: float = Field(default=CONTEXT_S, gt=0, le=CONTEXT_S)
    """The shortest encoder length at which it loses nothing."""
    context_tail_s: float = Field(default=2.0, ge=0, le=CONTEXT_S)
    """Silence that it needs behind the speech in a shortened context."""
    silent_tail: bool = False
    """Whether the encoder's output of silence fills a shortened context up to the full one, so that
    the decoder finds as many positions as it was trained with."""
    short_context_languages: tuple[str, ...] | None = None
    """The languages in which shortened contexts lose nothing; None for all."""
    note: str = ""
    """What people must know."""

    @property
    def contexts_s(self) -> tuple[float, ...]:
        """The encoder lengths that are safe, ascending."""
        return tuple(length for length in CONTEXTS_S if length >= self.shortest_context_s)


SAFE_CARD: Final = ModelCard()


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model on this disk. `name` is what people call it; it is never a path of the server."""

    name: str
    directory: Path
    card: ModelCard
    form: ModelFormat = CTRANSLATE2

    @property
    def size(self) -> int:
        """Bytes of its weights on the disk, which is about what they take in memory as int8."""
        return sum((self.directory / file).stat().st_size for file in self.form.weights)


def demo_model(card_file: Path | None = None, form: ModelFormat = CTRANSLATE2) -> ModelFiles:
    """Return the model that ships in the package; raises `ModelUnavailable` for another format."""
    return model_in(_ASSETS / DEMO, form=form, card_file=card_file)


def model_in(
    directory: Path,
    name: str | None = None,
    *,
    form: ModelFormat = CTRANSLATE2,
    card_file: Path | None = None,
    default_card: ModelCard = SAFE_CARD,
) -> ModelFiles:
    """Return the model in a directory, called `name` or as the directory.

    `card_file` replaces the card in the directory, and `default_card` holds where there is none.
    Raises `ModelUnavailable` with one line that says what to do, also for a model that is there in
    another format than `form`.
    """
    name = name or directory.name
    if card_file is not None and not card_file.is_file():
        raise ModelUnavailable(
            f"There is no model card {str(card_file)!r} (WHISPERLIVE_MODEL_CARD)."
        )
    if not directory.is_dir():
        raise ModelUnavailable(f"There is no model directory {str(directory)!r}.")
    if missing := form.missing(directory):
        raise ModelUnavailable(_wrong_format(name, directory, missing[0], form))
    file = card_file or directory / CARD_FILE
    card = _read_card(name, file) if file.is_file() else default_card
    return ModelFiles(name, directory, card, form)


def check_card_place(file: Path) -> None:
    """Raise `BadRequest`, as `write_card` would, if a card cannot be written to `file`."""
    if not os.access(file.parent, os.W_OK):
        raise _unwritable(file, "the directory is missing or may not be written to")


def write_card(file: Path, card: ModelCard) -> None:
    """Write what was said in `card`, whole or not at all. Raises `BadRequest` if it cannot be."""
    text = json.dumps(card.model_dump(exclude_unset=True), ensure_ascii=False, indent=2) + "\n"
    draft = file.with_name(f".{file.name}.new")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(file)
    except OSError as error:
        raise _unwritable(file, error.strerror or str(error)) from error


def _wrong_format(name: str, directory: Path, missing: str, wanted: ModelFormat) -> str:
    for other in FORMATS:
        if other.fits(directory):
            return (
                f"Model {name!r} is in {other.name}'s format, not {wanted.name}'s: use it with "
                f"--backend {other.backend}, or name another with --model. {wanted.advice}"
            )
    return f"Model {name!r} has no {missing}: it is not in {wanted.name}'s format. {wanted.advice}"


def _read_card(name: str, file: Path) -> ModelCard:
    try:
        return ModelCard.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the card"
        raise _wrong_card(name, file, f"{where}: {first['msg']}") from error
    except ValueError as error:
        raise _wrong_card(name, file, str(error)) from error


def _wrong_card(name: str, file: Path, problem: str) -> ModelUnavailable:
    return ModelUnavailable(f"The card {file.name} of model {name!r} is wrong: {problem}.")


def _unwritable(file: Path, problem: str) -> BadRequest:
    return BadRequest(
        f"The card cannot be written to {str(file)!r}: {problem}. "
        f"Name another place with --card, and that in WHISPERLIVE_MODEL_CARD."
    )

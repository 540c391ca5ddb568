"""A model on this disk: its directory, its format and its card."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from whisperlive_hybrid.errors import BadRequest, ModelUnavailable
from whisperlive_hybrid.models.formats import CTRANSLATE2, FORMATS, ModelFormat
from whisperlive_hybrid.types import CONTEXT_S

DEMO: Final = "demo"

CARD_FILE: Final = "whisperlive.json"

CONTEXTS_S: Final = (5.0, 7.5, 10.0, 15.0, 20.0, CONTEXT_S)
"""The encoder lengths in use: few, so that windows of different streams can share a batch."""

M = TypeVar("M", bound=BaseModel)

_ASSETS: Final = Path(__file__).parent.with_name("assets")


class ModelCard(BaseModel):
    """Measured properties of a model; the defaults are safe for every model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    longest_window_s: float = Field(default=CONTEXT_S, ge=1, le=CONTEXT_S)
    """Seconds of speech that the model transcribes well in one window."""
    shortest_context_s: float = Field(default=CONTEXT_S, gt=0, le=CONTEXT_S)
    """The shortest encoder length, in seconds, that costs no accuracy."""
    context_tail_s: float = Field(default=2.0, ge=0, le=CONTEXT_S)
    """Seconds of silence that must follow the speech in a shortened context."""
    silent_tail: bool = False
    """Whether the encoder's output of silence extends a shortened context to the full one, so that
    the decoder gets as many positions as in its training."""
    short_context_languages: tuple[str, ...] | None = None
    """The languages in which shortened contexts cost no accuracy; None for all."""
    note: str = ""
    """A note for users."""

    @property
    def contexts_s(self) -> tuple[float, ...]:
        """The encoder lengths that cost no accuracy, ascending."""
        return tuple(length for length in CONTEXTS_S if length >= self.shortest_context_s)

    @property
    def short_language_set(self) -> frozenset[str] | None:
        """`short_context_languages` as a set."""
        languages = self.short_context_languages
        return None if languages is None else frozenset(languages)


SAFE_CARD: Final = ModelCard()


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model on this disk. `name` is for messages and the API; it is never a path."""

    name: str
    directory: Path
    card: ModelCard
    form: ModelFormat = CTRANSLATE2

    @property
    def size(self) -> int:
        """Bytes of the weights on the disk, which is about their size in memory as int8."""
        return sum((self.directory / file).stat().st_size for file in self.form.weights)


def demo_model(card_file: Path | None = None, form: ModelFormat = CTRANSLATE2) -> ModelFiles:
    """Return the model in the package; raises `ModelUnavailable` for another format."""
    return load_model_files(_ASSETS / DEMO, form=form, card_file=card_file)


def load_model_files(
    directory: Path,
    name: str | None = None,
    *,
    form: ModelFormat = CTRANSLATE2,
    card_file: Path | None = None,
    default_card: ModelCard = SAFE_CARD,
) -> ModelFiles:
    """Return the model in a directory, named `name` or after the directory.

    `card_file` replaces the card in the directory; `default_card` is used if there is none. Raises
    `ModelUnavailable` with one line that says what to do, also for a model in another format than
    `form`.
    """
    name = name or directory.name
    if card_file is not None and not card_file.is_file():
        raise ModelUnavailable(
            f"There is no model card {str(card_file)!r} (WHISPERLIVE_MODEL_CARD)."
        )
    if not directory.is_dir():
        raise ModelUnavailable(f"There is no model directory {str(directory)!r}.")
    if missing := form.list_missing(directory):
        for other in FORMATS:
            if other.fits(directory):
                raise ModelUnavailable(
                    f"Model {name!r} is in {other.name}'s format, not {form.name}'s: use it with "
                    f"--backend {other.backend}, or name another with --model. {form.advice}"
                )
        raise ModelUnavailable(
            f"Model {name!r} has no {missing[0]}: it is not in {form.name}'s format. {form.advice}"
        )
    file = card_file or directory / CARD_FILE
    card = default_card
    if file.is_file():
        try:
            card = ModelCard.model_validate(json.loads(file.read_text(encoding="utf-8")))
        except ValueError as error:
            problem = _describe_invalid(error) if isinstance(error, ValidationError) else str(error)
            raise ModelUnavailable(
                f"The card {file.name} of model {name!r} is invalid: {problem}."
            ) from error
    return ModelFiles(name, directory, card, form)


def check_card_place(file: Path) -> None:
    """Raise the `BadRequest` of `write_card` early, if a card cannot be written to `file`."""
    if not os.access(file.parent, os.W_OK):
        raise _unwritable(file, "the directory is missing or may not be written to")


def write_card(file: Path, card: ModelCard) -> None:
    """Write the fields that are set in `card`, atomically; raises `BadRequest` on failure."""
    text = json.dumps(card.model_dump(exclude_unset=True), ensure_ascii=False, indent=2) + "\n"
    draft = file.with_name(f".{file.name}.new")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(file)
    except OSError as error:
        raise _unwritable(file, error.strerror or str(error)) from error


def read_settings(kind: type[M], directory: Path, name: str) -> M:
    """Read the JSON file `name` of a model; raises `ModelUnavailable`, without the path."""
    file = directory / name
    if not file.is_file():
        raise ModelUnavailable(f"The model directory has no {name}.")
    try:
        return kind.model_validate_json(file.read_bytes())
    except ValidationError as error:
        problem = _describe_invalid(error)
        raise ModelUnavailable(f"The model's {name} is invalid: {problem}.") from error


def _describe_invalid(error: ValidationError) -> str:
    """Return the first problem with its field."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    return f"{field}: {first['msg']}" if field else first["msg"]


def _unwritable(file: Path, problem: str) -> BadRequest:
    return BadRequest(
        f"The card cannot be written to {str(file)!r}: {problem}. "
        f"Give another file with --card, and name it in WHISPERLIVE_MODEL_CARD."
    )

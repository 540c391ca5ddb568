"""Model names to local directories, and what a directory says about its model."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from whisperlive_hybrid.errors import BadRequest, ModelUnavailable
from whisperlive_hybrid.model_formats import CTRANSLATE2, FORMATS, ModelFormat
from whisperlive_hybrid.types import CONTEXT_S

DEMO: Final = "demo"

CARD_FILE: Final = "whisperlive.json"

MODELS_DIRECTORY: Final = Path("/app/models")
"""Where earlier deployments kept their models; a bare directory name is looked up here."""

CONTEXTS_S: Final = (5.0, 7.5, 10.0, 15.0, 20.0, CONTEXT_S)
"""The encoder lengths in use: few, so that windows of different streams can share a batch."""

_ASSETS: Final = Path(__file__).with_name("assets")

_HUB_ID: Final = "a Hugging Face id (owner/name)"
_LOCAL_PLACES: Final = f"an absolute path, a directory under {MODELS_DIRECTORY}"


class ModelCard(BaseModel):
    """What is known about a model beyond its files; without a card the safe assumptions hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    longest_window_s: float = Field(default=CONTEXT_S, ge=1, le=CONTEXT_S)
    """Seconds of speech that the model reads well at once."""
    shortest_context_s: float = Field(default=CONTEXT_S, gt=0, le=CONTEXT_S)
    """The shortest encoder length at which it loses nothing."""
    context_tail_s: float = Field(default=2.0, ge=0, le=CONTEXT_S)
    """Silence that it needs behind the speech in a shortened context."""
    note: str = ""
    """What people must know."""

    @property
    def contexts_s(self) -> tuple[float, ...]:
        """The encoder lengths that are safe, ascending."""
        return tuple(length for length in CONTEXTS_S if length >= self.shortest_context_s)


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


def find_model(name: str, card: Path | None = None, form: ModelFormat = CTRANSLATE2) -> ModelFiles:
    """Find or download the model called `name`; `card` replaces the card in its directory.

    `name` is "demo", a size such as "small", a Hugging Face id, an absolute path, or the name of a
    directory under /app/models. Raises `ModelUnavailable` with one line that says what to do, also
    for a model that is there in another format than `form`.
    """
    if card is not None and not card.is_file():
        raise ModelUnavailable(f"There is no model card {str(card)!r} (WHISPERLIVE_MODEL_CARD).")
    if name == DEMO:
        return _from_directory(DEMO, _ASSETS / DEMO, card, form)
    if Path(name).is_absolute():
        return _from_directory(Path(name).name, Path(name), card, form)
    if (MODELS_DIRECTORY / name).is_dir():
        return _from_directory(name, MODELS_DIRECTORY / name, card, form)
    return _from_directory(name, _downloaded(name, form), card, form)


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


def local_models() -> list[tuple[str, ModelFormat]]:
    """The models under `MODELS_DIRECTORY`, by name, with their format."""
    directories = sorted(MODELS_DIRECTORY.glob("*/"))
    return [(each.name, form) for each in directories for form in FORMATS if form.fits(each)]


def model_sizes() -> list[str]:
    """The size names that can be downloaded."""
    from faster_whisper.utils import available_models  # noqa: PLC0415 (loads CTranslate2)

    return list(available_models())


def _downloaded(name: str, form: ModelFormat) -> Path:
    if form.hub_files is None:
        raise ModelUnavailable(
            f"Unknown model {name!r}. With backend {form.backend}, use {_LOCAL_PLACES}. "
            f"{form.advice}"
        )
    if "/" not in name:
        _check_size(name, form)
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
    try:
        return _fetched(name, form, offline=offline)
    except Exception as error:  # the hub client raises a dozen kinds; all mean this
        reason = (
            "HF_HUB_OFFLINE keeps it from being downloaded"
            if offline
            else f"could not be downloaded ({type(error).__name__})"
        )
        raise ModelUnavailable(
            f"Model {name!r} is not on this machine and {reason}. Connect to the network once, or "
            f"give a local directory: --model /path/to/a/{form.name.lower()}/model, or try "
            "--model demo."
        ) from error


def _fetched(name: str, form: ModelFormat, *, offline: bool) -> Path:
    """The directory of a model in the hub's cache, after a download if need be."""
    if not form.hub_files:  # faster-whisper knows which repository is meant by a size
        from faster_whisper.utils import download_model  # noqa: PLC0415 (loads CTranslate2)

        return Path(download_model(name, local_files_only=offline))
    from huggingface_hub import snapshot_download  # noqa: PLC0415 (slow to load)

    patterns = list(form.hub_files)
    return Path(snapshot_download(name, allow_patterns=patterns, local_files_only=offline))


def _check_size(name: str, form: ModelFormat) -> None:
    """Only faster-whisper names models by their size."""
    places = f"{_HUB_ID}, {_LOCAL_PLACES}"
    if form is not CTRANSLATE2:
        raise ModelUnavailable(
            f"Unknown model {name!r}. With backend {form.backend}, use {places}; "
            f"sizes can be named with backend {CTRANSLATE2.backend} only."
        )
    if name not in model_sizes():
        raise ModelUnavailable(
            f"Unknown model {name!r}. Use 'demo', {places}, or one of: {', '.join(model_sizes())}."
        )


def _from_directory(name: str, directory: Path, card: Path | None, form: ModelFormat) -> ModelFiles:
    if not directory.is_dir():
        raise ModelUnavailable(f"There is no model directory {str(directory)!r}.")
    if missing := form.missing(directory):
        raise ModelUnavailable(_wrong_format(name, directory, missing[0], form))
    return ModelFiles(name, directory, _read_card(name, card or directory / CARD_FILE), form)


def _wrong_format(name: str, directory: Path, missing: str, wanted: ModelFormat) -> str:
    for other in FORMATS:
        if other.fits(directory):
            return (
                f"Model {name!r} is in {other.name}'s format, not {wanted.name}'s: use it with "
                f"--backend {other.backend}, or name another with --model. {wanted.advice}"
            )
    return f"Model {name!r} has no {missing}: it is not in {wanted.name}'s format. {wanted.advice}"


def _read_card(name: str, file: Path) -> ModelCard:
    if not file.is_file():
        return ModelCard()
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

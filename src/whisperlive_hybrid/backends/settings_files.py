"""JSON files that lie beside a model, read into checked values."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from whisperlive_hybrid.errors import ModelUnavailable

ENGLISH_ONLY_VOCABULARY = 51864
"""openai/whisper: one token fewer than the multilingual models."""

M = TypeVar("M", bound=BaseModel)


def read_settings(kind: type[M], directory: Path, name: str) -> M:
    """Read file `name` of a model; raises `ModelUnavailable` with one line about that name."""
    file = directory / name
    if not file.is_file():
        raise ModelUnavailable(f"The model directory has no {name}.")
    try:
        return kind.model_validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        problem = f"{where}: {first['msg']}" if where else first["msg"]
        raise ModelUnavailable(f"The model's {name} is wrong: {problem}.") from error

from pathlib import Path

import pytest
from pydantic import BaseModel, Field

from whisperlive_hybrid.errors import ModelUnavailable
from whisperlive_hybrid.models.files import read_settings


class Size(BaseModel):
    """Some settings."""

    width: int = Field(ge=1)


def test_unknown_fields_are_ignored(tmp_path: Path) -> None:
    """Upstream's files have many more fields."""
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "config.json").write_text('{"width": 3, "height": 4}')
    assert read_settings(Size, tmp_path, "part/config.json") == Size(width=3)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, r"has no part/config\.json"),
        ('{"width": 0}', r"part/config\.json is invalid: width: "),
        ("{}", r"part/config\.json is invalid: width: Field required"),
        ("\xff", r"part/config\.json is invalid: Invalid JSON"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(
    content: str | None, problem: str, tmp_path: Path
) -> None:
    """The message has the name of the file without its path."""
    (tmp_path / "part").mkdir()
    if content is not None:
        (tmp_path / "part" / "config.json").write_text(content, encoding="latin-1")
    with pytest.raises(ModelUnavailable, match=problem) as refusal:
        read_settings(Size, tmp_path, "part/config.json")
    assert "\n" not in refusal.value.message
    assert str(tmp_path) not in refusal.value.message

"""All settings by the names of their fields, without their groups."""

from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from whisperlive_hybrid.config import GROUPS, Settings

FIELDS: dict[str, FieldInfo] = {
    name: field for group in GROUPS.values() for name, field in group.model_fields.items()
}


def flat(settings: Settings) -> dict[str, Any]:
    """Return every value by the name of its field."""
    groups: list[BaseModel] = [group for _, group in settings]
    return {name: value for group in groups for name, value in group}

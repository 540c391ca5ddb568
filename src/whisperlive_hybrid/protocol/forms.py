"""The fields of a form, read strictly: each is asked for once, and none is accepted and ignored."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.languages import LANGUAGES, is_auto_language, language_code

AUDIO_TRACK: Final = "audio_track"
"""The field that chooses one audio track of a file, counted from 0."""

LAST_AUDIO_TRACK: Final = 15
"""`media` opens no file with more than 16 streams."""


@dataclass(frozen=True, slots=True)
class FieldNames:
    """Which fields a form may have."""

    single: tuple[str, ...]
    lists: tuple[str, ...] = ()
    """May be repeated, and may be written with `[]` behind the name."""
    harmless: tuple[str, ...] = ()
    """Accepted without effect, since they do not ask for anything."""
    refused: tuple[str, ...] = ()
    """Lists that are known only to be refused with a reason, and are not told to anybody."""
    brings_file: bool = True

    def listed(self, written: str) -> str:
        """The name here that a field means; raises `BadRequest` if it means none."""
        base = written.removesuffix("[]")
        lists = (*self.lists, *self.refused)
        name = base if base in lists else written
        if name not in (*self.single, *lists, *self.harmless):
            raise BadRequest(
                f"Unknown field {written[:80]!r}; the fields are: {self}.",
                param=written[:80],
                code="unknown_parameter",
            )
        return name

    def __str__(self) -> str:
        file = ["file"] if self.brings_file else []
        lists = [f"{name}[]" for name in self.lists]
        return ", ".join([*file, *self.single, *lists, *self.harmless])


@dataclass(slots=True)
class Form:
    """The fields that were given; an empty value counts as not given."""

    names: FieldNames
    _values: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    @staticmethod
    def of(fields: Iterable[tuple[str, str]], names: FieldNames) -> "Form":
        """Sort (name, value) pairs; raises `BadRequest` for a name that is not in `names`."""
        form = Form(names)
        for written, value in fields:
            name = names.listed(written)
            if value.strip():
                form._values[name].append(value)
        return form

    def one(self, name: str) -> str | None:
        """The value of a field that may be given once."""
        values = self._values.get(name, [])
        if len(values) > 1:
            raise BadRequest(
                f"Field {name!r} was given {len(values)} times; give it once.",
                param=name,
                code="invalid_value",
            )
        return values[0] if values else None

    def many(self, name: str) -> tuple[str, ...]:
        """The values of a list, in the order given."""
        return tuple(self._values.get(name, ()))

    def choice(self, name: str, allowed: Sequence[str], default: str) -> str:
        """One of a few words."""
        value = self.one(name)
        if value is None:
            return default
        if value not in allowed:
            raise invalid_choice(name, value, allowed)
        return value

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """A decimal number from `low` to `high`."""
        value = self.one(name)
        return default if value is None else number(name, value, low, high)

    def whole(self, name: str, low: int, high: int) -> int | None:
        """A whole number from `low` to `high`; None if it was not given."""
        value = self.one(name)
        if value is None:
            return None
        digits = value.strip()
        is_number = digits.isascii() and digits.isdecimal() and len(digits) < 10
        if not is_number or not low <= int(digits) <= high:
            raise BadRequest(
                f"Invalid {name} {value[:80]!r}: it must be a whole number from {low} to {high}.",
                param=name,
                code="invalid_value",
            )
        return int(digits)

    def truth(self, name: str, *, default: bool = False) -> bool:
        """Whether a switch is on; Python programs without an SDK write "True"."""
        value = self.one(name)
        if value is None:
            return default
        if value.lower() not in ("true", "false"):
            raise invalid_choice(name, value, ("true", "false"))
        return value.lower() == "true"

    def language(self, name: str = "language") -> str | None:
        """Whisper's code of a language given by code, region or English name; None to detect it."""
        value = self.one(name)
        return None if value is None or is_auto_language(value) else parse_language(value, name)


def number(name: str, value: object, low: float, high: float) -> float:
    """Read a decimal number from `low` to `high`; raises `BadRequest`, also for nan."""
    try:
        read = float(str(value))
    except ValueError:
        read = float("nan")
    if not low <= read <= high:
        raise BadRequest(
            f"Invalid {name} {str(value)[:80]!r}: it must be a number from {low:g} to {high:g}.",
            param=name,
            code="invalid_value",
        )
    return read


def parse_language(written: str, name: str) -> str:
    """The code that `written` means; raises `BadRequest` if it means none."""
    code = language_code(written)
    if code is None:
        raise BadRequest(
            f"Unknown language {written[:80]!r}; give 'auto', an English name such as 'german' or "
            f"one of the codes {', '.join(LANGUAGES)}.",
            param=name,
            code="invalid_value",
        )
    return code


def invalid_choice(name: str, value: str, allowed: Iterable[str]) -> BadRequest:
    """The error for a word outside a set."""
    return BadRequest(
        f"Invalid {name} {value[:80]!r}; it must be one of: {', '.join(allowed)}.",
        param=name,
        code="invalid_value",
    )

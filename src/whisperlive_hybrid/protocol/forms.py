"""The fields of a form, parsed strictly: none is accepted and ignored."""

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
    """The fields that a form may have."""

    single: tuple[str, ...]
    lists: tuple[str, ...] = ()
    """Fields that may be repeated, and may be written with `[]` behind the name."""
    harmless: tuple[str, ...] = ()
    """Fields accepted without effect, because they request nothing."""
    unsupported: tuple[str, ...] = ()
    """Lists known only to be refused with a reason; error messages do not name them."""
    has_file: bool = True

    def resolve(self, written: str) -> str:
        """Return the name of a field without its brackets; raise `BadRequest` if it is unknown."""
        base = written.removesuffix("[]")
        lists = (*self.lists, *self.unsupported)
        name = base if base in lists else written
        if name not in (*self.single, *lists, *self.harmless):
            # Quotes are cut to 80 characters, so that no message grows with its request.
            raise BadRequest(
                f"Unknown field {written[:80]!r}; the fields are: {self}.",
                param=written[:80],
                code="unknown_parameter",
            )
        return name

    def __str__(self) -> str:
        file = ["file"] if self.has_file else []
        lists = [f"{name}[]" for name in self.lists]
        return ", ".join([*file, *self.single, *lists, *self.harmless])


@dataclass(slots=True)
class Form:
    """The fields of a request; an empty value counts as not given."""

    names: FieldNames
    _values: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    @staticmethod
    def of(fields: Iterable[tuple[str, str]], names: FieldNames) -> "Form":
        """Sort (name, value) pairs; raise `BadRequest` for a name that is not in `names`."""
        form = Form(names)
        for written, value in fields:
            name = names.resolve(written)
            # HTML forms and many programs send a field that was left empty.
            if value.strip():
                form._values[name].append(value)
        return form

    def one(self, name: str) -> str | None:
        """Return the value of a field, None without one; raise `BadRequest` for several."""
        values = self._values.get(name, [])
        if len(values) > 1:
            raise BadRequest(
                f"Field {name!r} was given {len(values)} times; give it once.",
                param=name,
                code="invalid_value",
            )
        return values[0] if values else None

    def many(self, name: str) -> tuple[str, ...]:
        """Return the values of a list in the order given."""
        return tuple(self._values.get(name, ()))

    def choice(self, name: str, allowed: Sequence[str], default: str) -> str:
        """Return one of the `allowed` words."""
        value = self.one(name)
        if value is None:
            return default
        if value not in allowed:
            raise invalid_choice(name, value, allowed)
        return value

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """Return a decimal number from `low` to `high`."""
        value = self.one(name)
        return default if value is None else parse_number(name, value, low, high)

    def integer(self, name: str, low: int, high: int) -> int | None:
        """Return a whole number from `low` to `high`, or None if it was not given."""
        value = self.one(name)
        if value is None:
            return None
        digits = value.strip()
        # int() refuses thousands of digits with an error of its own.
        is_number = digits.isascii() and digits.isdecimal() and len(digits) < 10
        if not is_number or not low <= int(digits) <= high:
            raise BadRequest(
                f"Invalid {name} {value[:80]!r}: it must be a whole number from {low} to {high}.",
                param=name,
                code="invalid_value",
            )
        return int(digits)

    def boolean(self, name: str, *, default: bool = False) -> bool:
        """Return a switch; any case counts, since Python programs without an SDK write "True"."""
        value = self.one(name)
        if value is None:
            return default
        if value.lower() not in ("true", "false"):
            raise invalid_choice(name, value, ("true", "false"))
        return value.lower() == "true"

    def language(self, name: str = "language") -> str | None:
        """Return Whisper's code of a language given by code, region or English name.

        None stands for detection.
        """
        value = self.one(name)
        return None if value is None or is_auto_language(value) else parse_language(value, name)


def parse_number(name: str, value: object, low: float, high: float) -> float:
    """Parse a decimal number from `low` to `high`; raise `BadRequest`, also for nan."""
    try:
        parsed = float(str(value))  # a text, or a number from JSON
    except ValueError:
        parsed = float("nan")
    if not low <= parsed <= high:  # also true of nan
        raise BadRequest(
            f"Invalid {name} {str(value)[:80]!r}: it must be a number from {low:g} to {high:g}.",
            param=name,
            code="invalid_value",
        )
    return parsed


def parse_language(written: str, name: str) -> str:
    """Return the code of a language; raise `BadRequest` if it is unknown."""
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
    """Return the error for a word that is not `allowed`."""
    return BadRequest(
        f"Invalid {name} {value[:80]!r}; it must be one of: {', '.join(allowed)}.",
        param=name,
        code="invalid_value",
    )

"""JSON from untrusted clients: parsed only where it is small, shallow and of few values.

The parser of the standard library calls itself for every list in a list, holds the interpreter
until it is done, and takes 60 ms for a megabyte of empty objects. Therefore a text is measured
before it is parsed: its brackets bound its depth, its commas the number of its values. With these
limits a megabyte takes at most 5 ms (measured).
"""

import json
from collections.abc import Callable
from typing import Final

from whisperlive_hybrid.errors import BadRequest

MAX_CONTAINERS: Final = 256
"""Lists and objects, counted by their opening brackets, also those inside strings."""

MAX_VALUES: Final = 4_000
"""Counted by their commas, also those inside strings."""

MAX_DEPTH: Final = 16
"""Lists and objects inside one another; the deepest request has three levels."""

Pairs = Callable[[list[tuple[str, object]]], object]


class BadJson(BadRequest):
    """A text that was not parsed; the message is a predicate, as in "The body" + " is not JSON"."""


def read_json(text: str | bytes, *, max_length: int, pairs: Pairs = dict) -> object:
    """Parse a text of at most `max_length` characters or bytes; raise `BadJson`.

    `pairs` makes an object of its names and values. NaN and Infinity are not JSON.
    """
    if len(text) > max_length:
        raise BadJson(f"is longer than {max_length} bytes")
    if _count(text, "[") + _count(text, "{") > MAX_CONTAINERS:
        raise BadJson(f"has more than {MAX_CONTAINERS} lists and objects")
    if _count(text, ",") > MAX_VALUES:
        raise BadJson(f"has more than {MAX_VALUES} values")
    try:
        value: object = json.loads(text, object_pairs_hook=pairs, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:  # also UnicodeDecodeError
        raise BadJson("is not JSON") from error
    if _is_too_deep(value):
        raise BadJson(f"is nested deeper than {MAX_DEPTH} levels")
    return value


def has_surrogates(text: str) -> bool:
    """Return whether a text has surrogates, which JSON can escape and UTF-8 cannot encode."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def _count(text: str | bytes, character: str) -> int:
    # In bytes of UTF-16 the ASCII byte of the character is still there.
    return text.count(character) if isinstance(text, str) else text.count(character.encode())


def _is_too_deep(value: object) -> bool:
    """Return whether containers are nested beyond the limit; level by level, without recursion."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        inner: list[object] = []
        for container in level:
            if isinstance(container, dict):
                inner.extend(container.values())
            elif isinstance(container, list | tuple):
                inner.extend(container)
        level = inner
    return bool(level)


def _refuse_constant(name: str) -> None:
    raise ValueError(name)

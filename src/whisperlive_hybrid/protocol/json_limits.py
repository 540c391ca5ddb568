"""JSON that a stranger wrote: read only where it is small, shallow and of few values.

The reader of the standard library calls itself for every list in a list, holds the interpreter
until it is done, and takes 60 ms for a megabyte of empty objects. So what is in a text is counted
before it is read: its brackets bound its depth, its commas the number of its values. With these
limits a megabyte takes at most 5 ms (measured).
"""

import json
from collections.abc import Callable, Sequence
from typing import Final

from whisperlive_hybrid.errors import BadRequest

MAX_CONTAINERS: Final = 256
"""Lists and objects, counted by their opening brackets, also those inside strings."""

MAX_VALUES: Final = 4_000
"""Counted by their commas, also those inside strings."""

MAX_DEPTH: Final = 16
"""Lists and objects inside one another; ours have three."""

Pairs = Callable[[list[tuple[str, object]]], object]


class BadJson(BadRequest):
    """A text that is not read; the message goes on from what it is: "The body" + " is not JSON"."""


def read_json(text: str | bytes, *, longest: int, pairs: Pairs = dict) -> object:
    """Read a text of at most `longest` characters or bytes; raises `BadJson`.

    `pairs` makes an object of its names and values. NaN and Infinity are not JSON.
    """
    if len(text) > longest:
        raise BadJson(f"is longer than {longest} bytes")
    if _count(text, "[") + _count(text, "{") > MAX_CONTAINERS:
        raise BadJson(f"has more than {MAX_CONTAINERS} lists and objects")
    if _count(text, ",") > MAX_VALUES:
        raise BadJson(f"has more than {MAX_VALUES} values")
    try:
        written: object = json.loads(text, object_pairs_hook=pairs, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:  # also UnicodeDecodeError
        raise BadJson("is not JSON") from error
    if _is_deep(written):
        raise BadJson(f"is nested deeper than {MAX_DEPTH} levels")
    return written


def has_surrogates(text: str) -> bool:
    """Whether a text that JSON could write can be written by nothing else: it has surrogates."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def _count(text: str | bytes, character: str) -> int:
    """How often a character occurs; in bytes of UTF-16 it is still there."""
    return text.count(character) if isinstance(text, str) else text.count(character.encode())


def _is_deep(value: object) -> bool:
    """Whether lists and objects are inside one another beyond the limit, level by level."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [inner for outer in level for inner in _inside(outer)]
    return bool(level)


def _inside(value: object) -> Sequence[object]:
    """What a list or an object holds; of a number or a text nothing."""
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list | tuple) else ()


def _refuse(name: str) -> None:
    raise ValueError(name)

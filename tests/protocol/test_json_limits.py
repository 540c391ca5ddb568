import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperlive_hybrid.protocol.json_limits import (
    MAX_CONTAINERS,
    MAX_DEPTH,
    MAX_VALUES,
    BadJson,
    read_json,
)

MEGABYTE = 10**6

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=20,
)


@given(value=values)
def test_what_is_small_is_read(value: object) -> None:
    """As the standard library reads it, from text and from bytes."""
    text = json.dumps(value)
    assert read_json(text, max_length=MEGABYTE) == value
    assert read_json(text.encode("utf-16"), max_length=MEGABYTE) == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ('{"a": NaN}', "is not JSON"),
        ("9" * 5000, "is not JSON"),
        ('"' + "a" * MEGABYTE + '"', "is longer than 1000000 bytes"),
        ("[" * 60_000, f"has more than {MAX_CONTAINERS} lists and objects"),
        ('{"a":' * 60_000, f"has more than {MAX_CONTAINERS} lists and objects"),
        ("[" + "{}," * 300_000 + "0]", f"has more than {MAX_CONTAINERS} lists and objects"),
        ("[" + "0," * 400_000 + "0]", f"has more than {MAX_VALUES} values"),
        ("[" * 40 + "]" * 40, f"is nested deeper than {MAX_DEPTH} levels"),
        ('{"a":' * 40 + "0" + "}" * 40, f"is nested deeper than {MAX_DEPTH} levels"),
    ],
)
def test_what_would_cost_much_is_refused(text: str, why: str) -> None:
    """Every limit has its words; none of them is a RecursionError."""
    for written in (text, text.encode()):
        with pytest.raises(BadJson) as refusal:
            read_json(written, max_length=MEGABYTE)
        assert refusal.value.message == why


def test_bytes_that_are_no_text() -> None:
    """They are no JSON either."""
    with pytest.raises(BadJson, match="is not JSON"):
        read_json(b"\xff\xfe\x00", max_length=MEGABYTE)


def test_the_limits_themselves_pass() -> None:
    """A nest as deep as allowed, and as many values and objects."""
    nest = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert json.dumps(read_json(nest, max_length=MEGABYTE)) == nest
    many = "[" + "0," * MAX_VALUES + "0]"
    assert len(str(read_json(many, max_length=MEGABYTE))) > MAX_VALUES
    objects = "[" + "{}," * (MAX_CONTAINERS - 2) + "{}]"
    assert read_json(objects, max_length=MEGABYTE) == [{}] * (MAX_CONTAINERS - 1)


def test_repeated_names_are_seen() -> None:
    """Where objects are kept as pairs."""
    assert read_json('{"a": 1, "a": 2}', max_length=100, pairs=tuple) == (("a", 1), ("a", 2))

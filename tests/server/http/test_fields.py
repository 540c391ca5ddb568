import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.protocol.forms import FieldNames
from whisperlive_hybrid.server.http.forms import read_json_fields

NAMES = FieldNames(("url", "language", "task"), has_file=False)


def test_an_object_becomes_fields() -> None:
    """In its order, a name given twice as twice, and null as not given."""
    body = b'{"url": "x", "task": null, "language": "", "url": "y"}'
    assert read_json_fields(body, NAMES) == (("url", "x"), ("language", ""), ("url", "y"))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        (b"[" * 60_000, "more than 256 lists and objects"),
        (b'{"a":' * 10_000, "more than 256 lists and objects"),
        (b"null", "must be a JSON object"),
        (b'"url"', "must be a JSON object"),
        (b'[["url", "x"]]', "must be a JSON object"),
        (b'{"url": 1}', "'url' must be a string"),
        (b'{"url": ["x"]}', "'url' must be a string"),
        (b'{"url": {}}', "'url' must be a string"),
        (b'{"task": true}', "'task' must be a string"),
        (b'{"foo": 1}', "Unknown field 'foo'; the fields are: url, language, task"),
        (b'{"foo": null}', "Unknown field 'foo'"),
    ],
)
def test_what_is_no_object_of_strings_is_refused(body: bytes, reason: str) -> None:
    """In plain words, however deep it is nested."""
    with pytest.raises(BadRequest, match=reason):
        read_json_fields(body, NAMES)


@given(st.dictionaries(st.text(), st.text()))
def test_every_object_of_strings_is_read(members: dict[str, str]) -> None:
    """Whatever the characters."""
    names = FieldNames(tuple(members))
    assert read_json_fields(json.dumps(members).encode(), names) == tuple(members.items())

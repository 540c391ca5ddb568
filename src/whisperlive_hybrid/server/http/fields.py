"""Requests that bring fields and no file: JSON or a form, read to the same pairs; and queries."""

from typing import Final

from starlette.datastructures import UploadFile
from starlette.requests import Request

from whisperlive_hybrid.errors import BadRequest, TooLarge
from whisperlive_hybrid.protocol.form import FieldNames
from whisperlive_hybrid.protocol.json_text import BadJson, read_json

MAX_JSON_BYTES: Final = 64 * 1024
_MAX_FIELDS: Final = 32
_MAX_FIELD_BYTES: Final = 16 * 1024

_FORM_TYPES: Final = ("multipart/form-data", "application/x-www-form-urlencoded")

Fields = tuple[tuple[str, str], ...]
"""Names and values in the order sent."""


async def received_fields(request: Request, names: FieldNames) -> Fields:
    """Read the whole body. Raises `BadRequest` for a type or a content that is something else."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == "application/json":
        return json_fields(await _bounded_body(request), names)
    if content_type in _FORM_TYPES:
        return await _form_fields(request)
    raise BadRequest(
        f"Content-Type must be application/json, {' or '.join(_FORM_TYPES)}, "
        f"not {content_type[:80]!r}."
    )


def json_fields(body: bytes, names: FieldNames) -> Fields:
    """The pairs of a JSON object whose values are strings; null counts as not given.

    Raises `BadRequest`, for a name that is not in `names` before what is wrong with its value.
    """
    try:
        # Objects become tuples of pairs, so that a name given twice is seen, and lists stay lists.
        members = read_json(body, longest=MAX_JSON_BYTES, pairs=tuple)
    except BadJson as error:
        raise BadRequest(f"The body {error.message}.") from error
    if not isinstance(members, tuple):
        raise BadRequest("The body must be a JSON object.")
    for name, value in members:
        names.listed(name)
        if value is not None and not isinstance(value, str):
            raise BadRequest(
                f"The value of {name[:80]!r} must be a string.",
                param=name[:80],
                code="invalid_type",
            )
    return tuple((name, value) for name, value in members if value is not None)


async def _bounded_body(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_JSON_BYTES:
            raise TooLarge(f"A JSON body may hold at most {MAX_JSON_BYTES} bytes.")
    return bytes(body)


async def _form_fields(request: Request) -> Fields:
    async with request.form(
        max_files=1, max_fields=_MAX_FIELDS, max_part_size=_MAX_FIELD_BYTES
    ) as form:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                raise BadRequest(
                    f"Send no file here, but got one in the field {name[:80]!r}.", param=name[:80]
                )
        return tuple((name, v) for name, v in form.multi_items() if isinstance(v, str))


def query_fields(request: Request, names: tuple[str, ...]) -> dict[str, str]:
    """The parameters behind the path; raises `BadRequest` for unknown and repeated ones."""
    asked: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in names or name in asked:
            raise BadRequest(
                f"Unknown or repeated parameter {name[:80]!r}; give each at most once of: "
                f"{', '.join(names)}.",
                param=name[:80],
                code="unknown_parameter",
            )
        asked[name] = value
    return asked

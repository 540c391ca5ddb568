"""The bodies of requests: forms with uploads, small forms, JSON objects, and query parameters."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import BinaryIO, Final

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from whisperlive_hybrid.errors import BadRequest, TooLarge
from whisperlive_hybrid.protocol.forms import FieldNames
from whisperlive_hybrid.protocol.json_limits import BadJson, read_json
from whisperlive_hybrid.server.http.upload_progress import UploadProgress
from whisperlive_hybrid.system import translate_disk_full

_MAX_FIELDS: Final = 256
_MAX_FIELD_BYTES: Final = 64 * 1024
"""Fields are kept in memory, files on disk: with `_MAX_FIELDS` at most 16 MiB a request."""
_MAX_FILES: Final = 2
"""One more than is allowed, so that the error message is this module's own."""
_FORM_TYPES: Final = ("multipart/form-data", "application/x-www-form-urlencoded")

MAX_JSON_BYTES: Final = 64 * 1024
_MAX_SMALL_FIELDS: Final = 32
_MAX_SMALL_FIELD_BYTES: Final = 16 * 1024

FILE_FORM: Final = f"{_FORM_TYPES[0]} with a field 'file'"
"""The expected body of an upload, for error messages."""

_NO_FILE: Final = "body -> file: file field required"
_FILE_AS_TEXT: Final = "body -> file: Expected UploadFile, received: str"
"""OpenAI's messages, which clients look for."""

_STRINGIFIED_FORM: Final = (
    "The body is the text '[object FormData]', no form: the fetch of Node and of browsers cannot "
    "send a form of the npm package form-data. Use the FormData that is built in, or the fetch of "
    "the package node-fetch."
)

Fields = tuple[tuple[str, str], ...]
"""Names and values in the order sent."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A form with its file, which is kept in a temporary file as long as the request."""

    fields: Fields
    """The position of the file among them is not kept."""
    file: BinaryIO
    filename: str
    """The client's name for it: a label, no path and no promise of a format."""
    size: int
    """Bytes of the file."""
    progress: UploadProgress | None = None
    """Where to report progress, if the client follows it."""


def media_type(request: Request) -> str:
    """Return the Content-Type of a request without parameters, in lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


@asynccontextmanager
async def read_upload(request: Request) -> AsyncIterator[Upload]:
    """Read the whole form; the file is deleted on exit.

    Raise `BadRequest` unless there is exactly one file, named `file`.
    """
    async with open_form(request, max_files=_MAX_FILES) as form:
        files = [(name, v) for name, v in form.multi_items() if isinstance(v, UploadFile)]
        if "file" not in form:
            if files:
                raise wrong_field_error(files[0][0], "send it as 'file'")
            raise BadRequest(_NO_FILE)
        if any(isinstance(value, str) for value in form.getlist("file")):
            raise BadRequest(_FILE_AS_TEXT)
        if len(files) > 1:
            names = ", ".join(repr(name) for name, _ in files)
            raise BadRequest(
                f"Send exactly one file in the field 'file', not {len(files)}: {names}."
            )
        file = files[0][1]
        fields = tuple((name, v) for name, v in form.multi_items() if isinstance(v, str))
        yield Upload(fields, file.file, file.filename or "", file.size or 0)


@asynccontextmanager
async def open_form(
    request: Request, *, max_files: int, expected: str = FILE_FORM
) -> AsyncIterator[FormData]:
    """Read the whole form; its files are deleted on exit.

    Raise `BadRequest`, which names the `expected` body, for anything but a form, and `OutOfSpace`
    where `TMPDIR` has no room for its files.
    """
    content_type = request.headers.get("content-type", "")
    if media_type(request) not in _FORM_TYPES:
        if media_type(request) == "text/plain":
            # JavaScript sends this text for a form that its `fetch` does not know.
            async with aclosing(request.stream()) as parts:
                if await anext(parts, b"") == b"[object FormData]":
                    raise BadRequest(_STRINGIFIED_FORM)
        raise BadRequest(f"Content-Type must be {expected}, not {content_type[:80]!r}.")
    try:
        if content_type.lower().startswith(_FORM_TYPES[0]):
            with translate_disk_full():
                form = await _WholeForm(request, max_files).parse()
        else:
            form = await request.form(max_fields=_MAX_FIELDS, max_part_size=_MAX_FIELD_BYTES)
    except MultiPartException as error:
        raise BadRequest(error.message) from error
    except UnicodeError as error:  # from a charset that cannot decode all bytes
        raise BadRequest("The form's fields cannot be read in the charset it names.") from error
    try:
        yield form
    finally:
        await form.close()  # deletes the temporary files


class _WholeForm(MultiPartParser):
    """A multipart form that must be complete; a part of a file is no file.

    Starlette drops a last part without a boundary behind it, and the client would be answered that
    it has sent no file.
    """

    spool_max_size = _MAX_FIELD_BYTES
    """Bytes of a file that stay in memory: with Starlette's megabyte, a job's files take 100 MB."""

    def __init__(self, request: Request, max_files: int) -> None:
        super().__init__(
            request.headers,
            self._check_end(request.stream()),
            max_files=max_files,
            max_fields=_MAX_FIELDS,
            max_part_size=_MAX_FIELD_BYTES,
        )
        self._is_whole = False

    def on_headers_finished(self) -> None:
        """Refuse a file without a name at once: it would be read as a long text."""
        super().on_headers_finished()
        if self._current_part.field_name == "file" and self._current_part.file is None:
            raise MultiPartException(_FILE_AS_TEXT)

    def on_end(self) -> None:
        """Note the closing boundary."""
        self._is_whole = True

    async def _check_end(self, chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk
        if not self._is_whole:  # raised into the parser, which deletes the files written so far
            raise MultiPartException("The upload was cut off before its closing boundary.")


def wrong_field_error(name: str, advice: str) -> BadRequest:
    """Return the error for a file in a field of another name."""
    return BadRequest(
        f"A file was sent as {name[:80]!r}; {advice}.",
        param=name[:80],
        code="unknown_parameter",
    )


async def read_fields(request: Request, names: FieldNames) -> Fields:
    """Read the whole body, JSON or a form without files; raise `BadRequest` for anything else."""
    content_type = media_type(request)
    if content_type == "application/json":
        return read_json_fields(await read_body(request, MAX_JSON_BYTES), names)
    if content_type not in _FORM_TYPES:
        raise BadRequest(
            f"Content-Type must be application/json, {' or '.join(_FORM_TYPES)}, "
            f"not {content_type[:80]!r}."
        )
    async with request.form(
        max_files=1, max_fields=_MAX_SMALL_FIELDS, max_part_size=_MAX_SMALL_FIELD_BYTES
    ) as form:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                raise BadRequest(
                    f"Send no file here, but got one in the field {name[:80]!r}.", param=name[:80]
                )
        return tuple((name, v) for name, v in form.multi_items() if isinstance(v, str))


def read_json_fields(body: bytes, names: FieldNames) -> Fields:
    """Return the pairs of a JSON object whose values are strings; null counts as not given.

    Raise `BadRequest`, for a name that is not in `names` before any error in its value.
    """
    try:
        # Objects become tuples of pairs, so that a repeated name is seen, and lists stay lists.
        members = read_json(body, max_length=MAX_JSON_BYTES, pairs=tuple)
    except BadJson as error:
        raise BadRequest(f"The body {error.message}.") from error
    if not isinstance(members, tuple):
        raise BadRequest("The body must be a JSON object.")
    for name, value in members:
        names.resolve(name)
        if value is not None and not isinstance(value, str):
            raise BadRequest(
                f"The value of {name[:80]!r} must be a string.",
                param=name[:80],
                code="invalid_type",
            )
    return tuple((name, value) for name, value in members if value is not None)


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Read a JSON body into memory; raise `TooLarge`."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > max_bytes:
            raise TooLarge(f"A JSON body may hold at most {max_bytes} bytes.")
    return bytes(body)


def read_query(request: Request, names: tuple[str, ...]) -> dict[str, str]:
    """Return the query parameters; raise `BadRequest` for unknown and repeated ones."""
    values: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in names or name in values:
            raise BadRequest(
                f"Unknown or repeated parameter {name[:80]!r}; give each at most once of: "
                f"{', '.join(names)}.",
                param=name[:80],
                code="unknown_parameter",
            )
        values[name] = value
    return values

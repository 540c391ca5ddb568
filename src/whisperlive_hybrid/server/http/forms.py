"""Uploads: the form of a request, its one file, and work that ends when its client has gone."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import BinaryIO, Final, TypeVar

import anyio
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from whisperlive_hybrid.errors import BadRequest, TooLarge
from whisperlive_hybrid.protocol.forms import FieldNames
from whisperlive_hybrid.protocol.json_limits import BadJson, read_json
from whisperlive_hybrid.server.http.upload_progress import UploadProgress
from whisperlive_hybrid.system import translate_disk_full

_MAX_FIELDS: Final = 256
_MAX_FIELD_BYTES: Final = 64 * 1024
"""Fields lie in memory, files on disk: together with `_MAX_FIELDS` at most 16 MiB a request."""
_MAX_FILES: Final = 2
"""One more than is allowed, so that the refusal is in our own words."""
_FORM_TYPES: Final = ("multipart/form-data", "application/x-www-form-urlencoded")

FILE_FORM: Final = f"{_FORM_TYPES[0]} with a field 'file'"
"""What a request with an upload is."""

_NO_FILE: Final = "body -> file: file field required"
_FILE_AS_TEXT: Final = "body -> file: Expected UploadFile, received: str"
"""OpenAI's words, which clients look for."""

_STRINGIFIED_FORM: Final = (
    "The body is the text '[object FormData]', no form: the fetch of Node and of browsers cannot "
    "send a form of the npm package form-data. Use the FormData that is built in, or the fetch of "
    "the package node-fetch."
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Upload:
    """A form with its file, which lives in a temporary file as long as the request."""

    fields: tuple[tuple[str, str], ...]
    """Names and values in the order sent; the file's place among them means nothing."""
    file: BinaryIO
    filename: str
    """As the client calls it: a label, no path and no promise of a format."""
    size: int
    """Bytes of the file."""
    progress: UploadProgress | None = None
    """Where to show how far it is read, if anybody asked."""


@asynccontextmanager
async def received(request: Request) -> AsyncIterator[Upload]:
    """Read the whole form; the file is deleted on leaving.

    Raises `BadRequest` unless there is exactly one file, named `file`.
    """
    async with open_form(request, max_files=_MAX_FILES) as form:
        file = _the_file(form)
        fields = tuple((name, v) for name, v in form.multi_items() if isinstance(v, str))
        yield Upload(fields, file.file, file.filename or "", file.size or 0)


@asynccontextmanager
async def open_form(
    request: Request, *, max_files: int, wanted: str = FILE_FORM
) -> AsyncIterator[FormData]:
    """Read the whole form; its files are deleted on leaving.

    Raises `BadRequest` for no form, with what is `wanted` instead, and `OutOfSpace` where `TMPDIR`
    has no room for its files.
    """
    content_type = request.headers.get("content-type", "")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in _FORM_TYPES:
        if media_type == "text/plain" and await _is_stringified_form(request):
            raise BadRequest(_STRINGIFIED_FORM)
        raise BadRequest(f"Content-Type must be {wanted}, not {content_type[:80]!r}.")
    form = await _form(request, content_type, max_files)
    try:
        yield form
    finally:
        await form.close()


async def _is_stringified_form(request: Request) -> bool:
    """Return whether the body is what JavaScript makes of a form that `fetch` does not know."""
    async with aclosing(request.stream()) as parts:
        return await anext(parts, b"") == b"[object FormData]"


async def _form(request: Request, content_type: str, max_files: int) -> FormData:
    is_multipart = content_type.lower().startswith(_FORM_TYPES[0])
    try:
        if is_multipart:
            with translate_disk_full():
                return await _WholeForm(request, max_files).parse()
        return await request.form(max_fields=_MAX_FIELDS, max_part_size=_MAX_FIELD_BYTES)
    except MultiPartException as error:
        raise BadRequest(error.message) from error
    except UnicodeError as error:  # from a charset that only some bytes can be read in
        raise BadRequest("The form's fields cannot be read in the charset it names.") from error


class _WholeForm(MultiPartParser):
    """A multipart form that must come to its end; a part of a file is no file.

    Starlette drops a last part without a boundary behind it, and the client would be told that it
    has sent no file.
    """

    spool_max_size = _MAX_FIELD_BYTES
    """Bytes of a file that lie in memory: Starlette's megabyte makes a hundred of a job's files."""

    def __init__(self, request: Request, max_files: int) -> None:
        super().__init__(
            request.headers,
            self._checked(request.stream()),
            max_files=max_files,
            max_fields=_MAX_FIELDS,
            max_part_size=_MAX_FIELD_BYTES,
        )
        self._is_whole = False

    def on_headers_finished(self) -> None:
        """A part begins: refuse a file without a name at once, it would be read as a long text."""
        super().on_headers_finished()
        if self._current_part.field_name == "file" and self._current_part.file is None:
            raise MultiPartException(_FILE_AS_TEXT)

    def on_end(self) -> None:
        """The closing boundary has come."""
        self._is_whole = True

    async def _checked(self, chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk
        if not self._is_whole:  # raised into the parser, which deletes what it has written so far
            raise MultiPartException("The upload was cut off before its closing boundary.")


def _the_file(form: FormData) -> UploadFile:
    """The one file of a form."""
    files = [(name, v) for name, v in form.multi_items() if isinstance(v, UploadFile)]
    if "file" not in form:
        raise wrong_field_error(files[0][0], "send it as 'file'") if files else BadRequest(_NO_FILE)
    if any(isinstance(value, str) for value in form.getlist("file")):
        raise BadRequest(_FILE_AS_TEXT)
    if len(files) > 1:
        names = ", ".join(repr(name) for name, _ in files)
        raise BadRequest(f"Send exactly one file in the field 'file', not {len(files)}: {names}.")
    return files[0][1]


def wrong_field_error(name: str, advice: str) -> BadRequest:
    """The refusal of a file in a field of another name."""
    return BadRequest(
        f"A file was sent as {name[:80]!r}; {advice}.",
        param=name[:80],
        code="unknown_parameter",
    )


async def run_while_connected(request: Request, work: Callable[[], Awaitable[T]]) -> T:
    """Do `work`, unless the client hangs up first: then it is cancelled.

    Raises `ClientDisconnect` in that case. To be called when the body has been read: all that can
    still arrive is the end of the connection.
    """

    async def watch(work_scope: anyio.CancelScope) -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        work_scope.cancel()

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch, tasks.cancel_scope)
            outcome = await work()
            tasks.cancel_scope.cancel()
            return outcome
    except ExceptionGroup as group:  # `work` failed; the watcher raises nothing
        raise group.exceptions[0] from group.exceptions[0].__cause__
    raise ClientDisconnect


MAX_JSON_BYTES: Final = 64 * 1024
_MAX_SMALL_FIELDS: Final = 32
_MAX_SMALL_FIELD_BYTES: Final = 16 * 1024

_FIELD_FORM_TYPES: Final = ("multipart/form-data", "application/x-www-form-urlencoded")

Fields = tuple[tuple[str, str], ...]
"""Names and values in the order sent."""


async def read_fields(request: Request, names: FieldNames) -> Fields:
    """Read the whole body. Raises `BadRequest` for a type or a content that is something else."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == "application/json":
        return json_fields(await _bounded_body(request), names)
    if content_type in _FIELD_FORM_TYPES:
        return await _form_fields(request)
    raise BadRequest(
        f"Content-Type must be application/json, {' or '.join(_FIELD_FORM_TYPES)}, "
        f"not {content_type[:80]!r}."
    )


def json_fields(body: bytes, names: FieldNames) -> Fields:
    """The pairs of a JSON object whose values are strings; null counts as not given.

    Raises `BadRequest`, for a name that is not in `names` before what is wrong with its value.
    """
    try:
        # Objects become tuples of pairs, so that a name given twice is seen, and lists stay lists.
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


async def _bounded_body(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_JSON_BYTES:
            raise TooLarge(f"A JSON body may hold at most {MAX_JSON_BYTES} bytes.")
    return bytes(body)


async def _form_fields(request: Request) -> Fields:
    async with request.form(
        max_files=1, max_fields=_MAX_SMALL_FIELDS, max_part_size=_MAX_SMALL_FIELD_BYTES
    ) as form:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                raise BadRequest(
                    f"Send no file here, but got one in the field {name[:80]!r}.", param=name[:80]
                )
        return tuple((name, v) for name, v in form.multi_items() if isinstance(v, str))


def read_query(request: Request, names: tuple[str, ...]) -> dict[str, str]:
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

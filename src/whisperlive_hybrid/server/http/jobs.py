"""The routes of jobs: hand in, look at, watch, cancel, throw away, and read what became of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, Literal

import anyio.to_thread
from fastapi import FastAPI
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.websockets import WebSocket

from whisperlive_hybrid.errors import BadRequest, TooLarge
from whisperlive_hybrid.jobs.api import (
    DEFAULT_PAGE_SIZE,
    FILE_FIELDS,
    JOB_FIELDS,
    MAX_JSON_BYTES,
    MAX_PAGE_SIZE,
    parse_job_request,
    parse_json_fields,
    parse_page_size,
    parse_result_query,
    render_deletion,
    render_job,
    render_job_list,
    render_result,
    render_results,
)
from whisperlive_hybrid.jobs.model import Status
from whisperlive_hybrid.jobs.service import JobService, UploadedFile
from whisperlive_hybrid.protocol.forms import invalid_choice
from whisperlive_hybrid.protocol.model_names import ModelNames
from whisperlive_hybrid.protocol.openai.cue_fields import HIGHLIGHT_FIELD, LAYOUT_FIELDS
from whisperlive_hybrid.protocol.openai.request import ResponseFormat
from whisperlive_hybrid.server.http.access_log import model_headers
from whisperlive_hybrid.server.http.auth import caller_of
from whisperlive_hybrid.server.http.forms import FILE_FORM, open_form, read_query, wrong_field_error
from whisperlive_hybrid.server.http.openapi import (
    FORM_FIELDS,
    Schema,
    query_schema,
    submission_schema,
)
from whisperlive_hybrid.server.http.progress_events import (
    EventSourceResponse,
    EventSources,
    ServiceFor,
    send_events,
)
from whisperlive_hybrid.server.http.schemas import (
    ErrorBody,
    ErrorFields,
    Responses,
    StrictModel,
    TranscriptionBody,
    VerboseBody,
)

_Status = Literal["queued", "running", "completed", "failed", "cancelled"]


class JobFile(StrictModel):
    """One file of a job; seconds of audio."""

    index: int
    name: str
    source: Literal["upload", "url"]
    status: _Status
    done: float
    total: float | None
    error: ErrorFields | None


class JobProgress(StrictModel):
    """Seconds of audio, of all files together."""

    done: float
    total: float | None


class JobBody(StrictModel):
    """A job as it stands."""

    id: str
    object: Literal["job"]
    status: _Status
    created_at: int
    started_at: int | None
    finished_at: int | None
    expires_at: int | None
    model: str
    task: Literal["transcribe", "translate"]
    language: str | None
    progress: JobProgress
    text: str
    error: ErrorFields | None
    files: list[JobFile]


class JobList(StrictModel):
    """A page of jobs, newest first."""

    object: Literal["list"]
    data: list[JobBody]
    first_id: str | None
    last_id: str | None
    has_more: bool


class JobDeleted(StrictModel):
    """A job that is no more."""

    id: str
    object: Literal["job"]
    deleted: Literal[True]


class FailedResult(StrictModel):
    """A file without a result, in a list."""

    index: int
    name: str
    status: _Status
    error: ErrorFields | None


class PlainResult(TranscriptionBody):
    """`json` of one file, in a list."""

    index: int
    name: str
    status: _Status


class VerboseResult(VerboseBody):
    """`verbose_json` of one file, in a list."""

    index: int
    name: str
    status: _Status


class ResultList(StrictModel):
    """The results of several files."""

    object: Literal["list"]
    data: list[PlainResult | VerboseResult | FailedResult]


JOB: Final[Responses] = {200: {"model": JobBody}}
JOBS: Final[Responses] = {200: {"model": JobList}}
DELETED: Final[Responses] = {200: {"model": JobDeleted}}
SUBMITTED: Final[Responses] = {
    202: {
        "model": JobBody,
        "description": "The job is taken in.",
        "headers": {"location": {"description": "Its path.", "schema": {"type": "string"}}},
    },
    507: {"model": ErrorBody, "description": "The disk of this server has no room."},
}
RESULT: Final[Responses] = {
    200: {
        "model": TranscriptionBody | VerboseBody | ResultList,
        "content": {"text/plain": {"schema": {"type": "string"}}},
        "description": "One file as its upload would have been answered, or a list of several.",
    }
}
EVENTS: Final[Responses] = {
    200: {
        "content": {"text/event-stream": {"itemSchema": {"type": "object"}}},
        "description": "job.progress or upload.progress, and last how it ended.",
    }
}


JOBS_PATH: Final = "/v1/jobs"

Fields = list[tuple[str, str]]

_WANTED: Final = f"{FILE_FORM}, or application/json with 'url' or 'urls'"

_PAGE: Final[dict[str, Schema]] = {
    "limit": {
        "type": "integer",
        "minimum": 1,
        "maximum": MAX_PAGE_SIZE,
        "default": DEFAULT_PAGE_SIZE,
    },
    "after": {"type": "string", "description": "The id of the job before."},
    "status": {"type": "string", "enum": [each.value for each in Status]},
}
_RESULT: Final[dict[str, Schema]] = {
    "format": {"type": "string", "enum": [each.value for each in ResponseFormat]},
    "file": {"type": "integer", "minimum": 0, "description": "Counted from 0."},
    **{name: FORM_FIELDS[name] for name in (*LAYOUT_FIELDS, HIGHLIGHT_FIELD)},
}
"""The parameters behind the paths."""


class JobRoutes:
    """/v1/jobs."""

    def __init__(
        self,
        service_for: ServiceFor,
        feeds: EventSources,
        models: ModelNames,
        *,
        most_files: int,
    ) -> None:
        self._service_for = service_for
        self._feeds = feeds
        self._models = models
        self._most_files = most_files

    def mount(self, app: FastAPI) -> None:
        """Add the routes."""
        one = f"{JOBS_PATH}/{{job_id}}"
        app.post(
            JOBS_PATH,
            status_code=202,
            openapi_extra=submission_schema(JOB_FIELDS),
            responses=SUBMITTED,
        )(self.submit)
        app.get(JOBS_PATH, openapi_extra=query_schema(**_PAGE), responses=JOBS)(self.page)
        app.get(one, responses=JOB)(self.job)
        app.delete(one, responses=DELETED)(self.delete)
        app.post(f"{one}/cancel", responses=JOB)(self.cancel)
        app.get(f"{one}/result", openapi_extra=query_schema(**_RESULT), responses=RESULT)(
            self.result
        )
        app.get(f"{one}/events", response_class=Response, responses=EVENTS)(self.events)
        app.websocket(f"{one}/ws")(self.watch)

    async def submit(self, request: Request) -> Response:
        """Take a job in; the answer comes before it is read."""
        async with self._submission(request) as (fields, uploads):
            job = await self._service(request).submit(
                parse_job_request(fields, self._models), uploads
            )
        return JSONResponse(render_job(job), 202, {"location": f"{JOBS_PATH}/{job.id}"})

    async def page(self, request: Request) -> Response:
        """The newest jobs."""
        asked = read_query(request, tuple(_PAGE))
        known = [each.value for each in Status]
        status = asked.get("status")
        if status is not None and status not in known:
            raise invalid_choice("status", status, known)
        found, has_more = await self._service(request).get_page(
            parse_page_size(asked.get("limit")),
            asked.get("after"),
            Status(status) if status else None,
        )
        return JSONResponse(render_job_list(found, has_more=has_more))

    async def job(self, request: Request, job_id: str) -> Response:
        """One job, as it stands."""
        return JSONResponse(render_job(await self._service(request).get(job_id)))

    async def cancel(self, request: Request, job_id: str) -> Response:
        """End a job."""
        return JSONResponse(render_job(await self._service(request).cancel(job_id)))

    async def delete(self, request: Request, job_id: str) -> Response:
        """Throw a job away."""
        await self._service(request).delete(job_id)
        return JSONResponse(render_deletion(job_id))

    async def result(self, request: Request, job_id: str) -> Response:
        """What was said: as /v1/audio answers for one file, a list for several."""
        asked = read_query(request, tuple(_RESULT))
        wanted, style, index = parse_result_query(asked.items())
        job, results = await self._service(request).get_results(job_id, index)
        if len(results) > 1:
            return JSONResponse(render_results(job, results, wanted))
        [(source, result)] = results
        # In a thread: cutting the cues of a long recording takes some 100 ms an hour of speech.
        body = await anyio.to_thread.run_sync(render_result, job, source, result, wanted, style)
        headers = model_headers(request, job.request.audio.model)
        if isinstance(body, str):
            return PlainTextResponse(body, headers=headers)
        return JSONResponse(body, headers=headers)

    async def events(self, request: Request, job_id: str) -> Response:
        """A job, or an upload by its X-Progress-Id, as server-sent events."""
        return EventSourceResponse(partial(self._feeds.open, caller_of(request), job_id))

    async def watch(self, socket: WebSocket, job_id: str) -> None:
        """The same over a WebSocket."""
        await send_events(socket, partial(self._feeds.open, caller_of(socket), job_id))

    def _service(self, request: Request) -> JobService:
        return self._service_for(caller_of(request))

    @asynccontextmanager
    async def _submission(
        self, request: Request
    ) -> AsyncIterator[tuple[Fields, list[UploadedFile]]]:
        """The fields and files of a form, or the fields of a JSON object."""
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type == "application/json":
            yield parse_json_fields(await _small_body(request)), []
            return
        most_files = self._most_files + 1
        async with open_form(request, max_files=most_files, wanted=_WANTED) as form:
            fields: Fields = []
            files: list[UploadedFile] = []
            for name, value in form.multi_items():
                if isinstance(value, UploadFile):
                    files.append(_uploaded(name, value))
                elif name in FILE_FIELDS:
                    raise BadRequest(f"body -> {name}: Expected UploadFile, received: str")
                else:
                    fields.append((name, value))
            yield fields, files


def _uploaded(name: str, file: UploadFile) -> UploadedFile:
    if name not in FILE_FIELDS:
        raise wrong_field_error(name, "send files as 'file' or 'files[]'")
    return UploadedFile(file.filename or "", file.file, file.size or 0)


async def _small_body(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_JSON_BYTES:
            raise TooLarge(f"Maximum size of a JSON body ({MAX_JSON_BYTES}) exceeded.")
    return bytes(body)

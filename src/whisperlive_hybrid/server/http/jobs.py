"""The routes of jobs: submit, list, watch, cancel, delete, and read their results."""

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

from whisperlive_hybrid.errors import BadRequest
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
from whisperlive_hybrid.server.http.forms import (
    FILE_FORM,
    media_type,
    open_form,
    read_body,
    read_query,
    wrong_field_error,
)
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
    """The current state of a job."""

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
    """A deleted job."""

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
        "description": "The job is accepted.",
        "headers": {"location": {"description": "Its path.", "schema": {"type": "string"}}},
    },
    507: {"model": ErrorBody, "description": "The disk of this server is full."},
}
RESULT: Final[Responses] = {
    200: {
        "model": TranscriptionBody | VerboseBody | ResultList,
        "content": {"text/plain": {"schema": {"type": "string"}}},
        "description": "One file as in the response to its upload, or a list of several.",
    }
}
EVENTS: Final[Responses] = {
    200: {
        "content": {"text/event-stream": {"itemSchema": {"type": "object"}}},
        "description": "job.progress or upload.progress; the last event is the end.",
    }
}


JOBS_PATH: Final = "/v1/jobs"

Fields = list[tuple[str, str]]

_EXPECTED: Final = f"{FILE_FORM}, or application/json with 'url' or 'urls'"

_PAGE: Final[dict[str, Schema]] = {
    "limit": {
        "type": "integer",
        "minimum": 1,
        "maximum": MAX_PAGE_SIZE,
        "default": DEFAULT_PAGE_SIZE,
    },
    "after": {"type": "string", "description": "The id of the last job of the page before."},
    "status": {"type": "string", "enum": [status.value for status in Status]},
}
_RESULT: Final[dict[str, Schema]] = {
    "format": {
        "type": "string",
        "enum": [response_format.value for response_format in ResponseFormat],
    },
    "file": {"type": "integer", "minimum": 0, "description": "Counted from 0."},
    **{name: FORM_FIELDS[name] for name in (*LAYOUT_FIELDS, HIGHLIGHT_FIELD)},
}
"""Query parameters, by name."""


class JobRoutes:
    """/v1/jobs."""

    def __init__(
        self,
        service_for: ServiceFor,
        sources: EventSources,
        models: ModelNames,
        *,
        max_files: int,
    ) -> None:
        self._service_for = service_for
        self._sources = sources
        self._models = models
        self._max_files = max_files

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
        """Accept a job; the response is sent before any file is decoded."""
        async with self._read_submission(request) as (fields, uploads):
            job = await self._service(request).submit(
                parse_job_request(fields, self._models), uploads
            )
        return JSONResponse(render_job(job), 202, {"location": f"{JOBS_PATH}/{job.id}"})

    async def page(self, request: Request) -> Response:
        """List the newest jobs."""
        query = read_query(request, tuple(_PAGE))
        statuses = [status.value for status in Status]
        status = query.get("status")
        if status is not None and status not in statuses:
            raise invalid_choice("status", status, statuses)
        jobs, has_more = await self._service(request).get_page(
            parse_page_size(query.get("limit")),
            query.get("after"),
            Status(status) if status else None,
        )
        return JSONResponse(render_job_list(jobs, has_more=has_more))

    async def job(self, request: Request, job_id: str) -> Response:
        """Return the current state of a job."""
        return JSONResponse(render_job(await self._service(request).get(job_id)))

    async def cancel(self, request: Request, job_id: str) -> Response:
        """Cancel a job."""
        return JSONResponse(render_job(await self._service(request).cancel(job_id)))

    async def delete(self, request: Request, job_id: str) -> Response:
        """Delete a job."""
        await self._service(request).delete(job_id)
        return JSONResponse(render_deletion(job_id))

    async def result(self, request: Request, job_id: str) -> Response:
        """Return the transcript: as /v1/audio does for one file, as a list for several."""
        query = read_query(request, tuple(_RESULT))
        answer_format, style, index = parse_result_query(query.items())
        job, results = await self._service(request).get_results(job_id, index)
        if len(results) > 1:
            return JSONResponse(render_results(job, results, answer_format))
        [(source, result)] = results
        # In a thread: cutting the cues of a long recording takes some 100 ms an hour of speech.
        body = await anyio.to_thread.run_sync(
            render_result, job, source, result, answer_format, style
        )
        headers = model_headers(request, job.request.audio.model)
        if isinstance(body, str):
            return PlainTextResponse(body, headers=headers)
        return JSONResponse(body, headers=headers)

    async def events(self, request: Request, job_id: str) -> Response:
        """Send a job, or an upload by its X-Progress-Id, as server-sent events."""
        return EventSourceResponse(partial(self._sources.open, caller_of(request), job_id))

    async def watch(self, socket: WebSocket, job_id: str) -> None:
        """Send the same events over a WebSocket."""
        await send_events(socket, partial(self._sources.open, caller_of(socket), job_id))

    def _service(self, request: Request) -> JobService:
        return self._service_for(caller_of(request))

    @asynccontextmanager
    async def _read_submission(
        self, request: Request
    ) -> AsyncIterator[tuple[Fields, list[UploadedFile]]]:
        """Read the fields and files of a form, or the fields of a JSON object."""
        if media_type(request) == "application/json":
            yield parse_json_fields(await read_body(request, MAX_JSON_BYTES)), []
            return
        # One file more than allowed, so that the job service refuses it with its own message.
        max_files = self._max_files + 1
        async with open_form(request, max_files=max_files, expected=_EXPECTED) as form:
            fields: Fields = []
            files: list[UploadedFile] = []
            for name, value in form.multi_items():
                if isinstance(value, UploadFile):
                    if name not in FILE_FIELDS:
                        raise wrong_field_error(name, "send files as 'file' or 'files[]'")
                    files.append(UploadedFile(value.filename or "", value.file, value.size or 0))
                elif name in FILE_FIELDS:
                    raise BadRequest(f"body -> {name}: Expected UploadFile, received: str")
                else:
                    fields.append((name, value))
            yield fields, files

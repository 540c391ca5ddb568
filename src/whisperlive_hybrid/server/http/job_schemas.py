"""What replies about jobs look like, for the OpenAPI document: the shapes of `protocol/jobs.py`."""

from typing import Final, Literal

from whisperlive_hybrid.server.http.schemas import (
    ErrorBody,
    ErrorFields,
    Exact,
    Responses,
    TranscriptionBody,
    VerboseBody,
)

_Status = Literal["queued", "running", "completed", "failed", "cancelled"]


class JobFile(Exact):
    """One file of a job; seconds of audio."""

    index: int
    name: str
    source: Literal["upload", "url"]
    status: _Status
    done: float
    total: float | None
    error: ErrorFields | None


class JobProgress(Exact):
    """Seconds of audio, of all files together."""

    done: float
    total: float | None


class JobBody(Exact):
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


class JobList(Exact):
    """A page of jobs, newest first."""

    object: Literal["list"]
    data: list[JobBody]
    first_id: str | None
    last_id: str | None
    has_more: bool


class JobDeleted(Exact):
    """A job that is no more."""

    id: str
    object: Literal["job"]
    deleted: Literal[True]


class FailedResult(Exact):
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


class ResultList(Exact):
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

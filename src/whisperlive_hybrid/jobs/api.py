"""Jobs over HTTP: the fields of a submission, and jobs, lists, results and events as JSON."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Final

from whisperlive_hybrid.errors import BadRequest, Conflict, Unsupported
from whisperlive_hybrid.jobs.model import Job, JobRequest, Result, Source
from whisperlive_hybrid.protocol.errors import ErrorInfo
from whisperlive_hybrid.protocol.forms import FieldNames, Form
from whisperlive_hybrid.protocol.json_limits import BadJson, has_surrogates, read_json
from whisperlive_hybrid.protocol.model_names import ModelNames
from whisperlive_hybrid.protocol.openai import response as bodies
from whisperlive_hybrid.protocol.openai.cue_fields import HIGHLIGHT_FIELD, LAYOUT_FIELDS, cue_style
from whisperlive_hybrid.protocol.openai.request import (
    DECODING_FIELDS,
    ResponseFormat,
    parse_decoding,
)
from whisperlive_hybrid.text.cues import CueStyle
from whisperlive_hybrid.text.formats import tail
from whisperlive_hybrid.types import Task

Json = dict[str, object]

FILE_FIELDS: Final = ("file", "file[]", "files", "files[]")
"""Where uploads may be."""

JOB_FIELDS: Final = FieldNames(
    (*DECODING_FIELDS.single, "task", "webhook_url"),
    (*DECODING_FIELDS.lists, "url", "urls"),
    DECODING_FIELDS.harmless,
)

RESULT_FIELDS: Final = FieldNames(
    ("format", "file", *LAYOUT_FIELDS, HIGHLIGHT_FIELD), has_file=False
)
"""The query parameters of a result."""

LONGEST_JSON: Final = 1024 * 1024
"""Bytes of a submission in JSON: it holds no audio."""

LONGEST_LIST: Final = 100
DEFAULT_LIST: Final = 20
"""Jobs on a page at most, and unless the client says otherwise."""


def job_request(given: Iterable[tuple[str, str]], models: ModelNames) -> JobRequest:
    """Read the fields of a submission, in any order; raises as `parse_decoding` does."""
    form = Form.of(given, JOB_FIELDS)
    task = form.choice("task", [each.value for each in Task], Task.TRANSCRIBE.value)
    return JobRequest(
        audio=parse_decoding(form, models, Task(task)),
        urls=(*form.many("url"), *form.many("urls")),
        webhook_url=form.one("webhook_url"),
    )


def json_fields(body: bytes) -> list[tuple[str, str]]:
    """The fields of a submission in JSON, as of a form; raises `BadRequest`, also for files."""
    try:
        written = read_json(body, max_length=LONGEST_JSON)
    except BadJson as error:
        raise BadRequest(f"The body {error.message}.") from error
    if not isinstance(written, dict):
        raise BadRequest("The body must be a JSON object.")
    for name in written:
        _refuse_file(name)
    return [(name, text) for name, value in written.items() for text in _texts(name, value)]


def _refuse_file(name: str) -> None:
    """A JSON body holds no audio."""
    if name in FILE_FIELDS:
        raise BadRequest(
            f"Field {name!r} is for uploads, in a multipart/form-data form; JSON names recordings "
            "by 'url' or 'urls'.",
            param=name,
            code="unknown_parameter",
        )


def _texts(name: str, value: object) -> Iterator[str]:
    """What a form would hold: null is nothing, a list is its items, an object stays JSON."""
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, str):
            yield _encodable(name, each)
        elif isinstance(each, list):
            raise BadRequest(f"Field {name[:80]!r} holds a list inside a list.", param=name[:80])
        elif each is not None:
            yield json.dumps(each)


def _encodable(name: str, text: str) -> str:
    if has_surrogates(text):
        raise BadRequest(f"Field {name[:80]!r} holds half a character.", param=name[:80])
    return text


def page_size(written: str | None) -> int:
    """How many jobs a list shall have; raises `BadRequest`."""
    if written is None:
        return DEFAULT_LIST
    if not (written.isascii() and written.isdecimal() and 1 <= int(written[:9]) <= LONGEST_LIST):
        raise BadRequest(
            f"Invalid limit {written[:80]!r}: it must be a whole number from 1 to {LONGEST_LIST}.",
            param="limit",
            code="invalid_value",
        )
    return int(written)


def file_index(written: str | None) -> int | None:
    """Which file of a job is meant, counted from 0; raises `BadRequest`."""
    if written is None:
        return None
    if not (written.isascii() and written.isdecimal() and len(written) < 10):
        raise BadRequest(
            f"Invalid file {written[:80]!r}: it must be a whole number, counted from 0.",
            param="file",
            code="invalid_value",
        )
    return int(written)


def result_query(given: Iterable[tuple[str, str]]) -> tuple[ResponseFormat, CueStyle, int | None]:
    """The format of a result, how its cues are cut, and which file; raises `BadRequest`."""
    form = Form.of(given, RESULT_FIELDS)
    formats = [each.value for each in ResponseFormat]
    written = form.choice("format", formats, ResponseFormat.JSON.value)
    style = cue_style(form, written, Task.TRANSCRIBE, format_field="format")
    return ResponseFormat(written), style, file_index(form.one("file"))


def job_object(job: Job, *, is_listed: bool = False) -> Json:
    """A job; its text is cut to its end while it runs, and in lists."""
    return {
        "id": job.id,
        "object": "job",
        "status": job.status.value,
        "created_at": int(job.created_at),
        "started_at": _moment(job.started_at),
        "finished_at": _moment(job.finished_at),
        "expires_at": _moment(job.expires_at),
        "model": job.request.audio.model,
        "task": job.request.audio.options.task.value,
        "language": job.language,
        "progress": {"done": round(job.done, 3), "total": _rounded(job.total)},
        "text": job.text if job.status.is_finished and not is_listed else tail(job.text),
        "error": _error(job.failure),
        "files": [_file(source) for source in job.sources],
    }


def job_list(jobs: Sequence[Job], *, has_more: bool) -> Json:
    """A page of jobs."""
    return {
        "object": "list",
        "data": [job_object(job, is_listed=True) for job in jobs],
        "first_id": jobs[0].id if jobs else None,
        "last_id": jobs[-1].id if jobs else None,
        "has_more": has_more,
    }


def deleted(job_id: str) -> Json:
    """What is said of a job that is no more."""
    return {"id": job_id, "object": "job", "deleted": True}


def job_progress(job: Job, delta: str) -> Json:
    """An event while a job is not over; `delta` only where there is new text."""
    event: Json = {"type": "job.progress", "job": job_object(job)}
    return event | ({"delta": delta} if delta else {})


def job_end(job: Job) -> Json:
    """The last event of a job, and the body of its webhook."""
    return {"type": f"job.{job.status.value}", "job": job_object(job)}


def result_body(
    job: Job,
    source: Source,
    result: Result | None,
    wanted: ResponseFormat,
    style: CueStyle | None = None,
) -> Json | str:
    """One file, exactly as /v1/audio would have answered; raises `Conflict` if it has no result.

    Raises `Unsupported` where words are to be highlighted that were not measured.
    """
    if result is None:
        raise _no_result(source)
    if style and style.highlight_words and any(each.words is None for each in result.segments):
        raise Unsupported(
            "highlight_words is not supported for this job: its words were not measured, because "
            "it is a translation or its model cannot.",
            param=HIGHLIGHT_FIELD,
        )
    request = replace(job.request.audio, response_format=wanted, cue_style=style or CueStyle())
    language, duration = result.language, result.duration
    return bodies.render_transcript(request, result.segments, language, duration, result.unread)


def result_list(
    job: Job, results: Sequence[tuple[Source, Result | None]], wanted: ResponseFormat
) -> Json:
    """Several files; raises `BadRequest` for formats that hold only one."""
    if wanted not in (ResponseFormat.JSON, ResponseFormat.VERBOSE_JSON):
        raise BadRequest(
            f"The job has {len(results)} files, and {wanted.value!r} holds one: name it as file=0 "
            f"to file={len(results) - 1}.",
            param="file",
            code="invalid_value",
        )
    data = [_listed_result(job, source, result, wanted) for source, result in results]
    return {"object": "list", "data": data}


def _no_result(source: Source) -> Conflict:
    """Why there is none: a file that was not read to its end has only its share of the text."""
    why, code = "It was cancelled.", "file_cancelled"
    if source.failure:
        why, code = source.failure.message, "file_failed"
    message = f"File {source.index} ({source.name!r}) has no result: {why}"
    return Conflict(message, param="file", code=code)


def _listed_result(job: Job, source: Source, result: Result | None, wanted: ResponseFormat) -> Json:
    head: Json = {"index": source.index, "name": source.name, "status": source.status.value}
    if result is None:
        return head | {"error": _error(source.failure)}
    body = result_body(job, source, result, wanted)
    return head | (body if isinstance(body, dict) else {"text": body})


def _file(source: Source) -> Json:
    return {
        "index": source.index,
        "name": source.name,
        "source": source.origin.value,
        "status": source.status.value,
        "done": round(source.done, 3),
        "total": _rounded(source.total),
        "error": _error(source.failure),
    }


def _error(failure: ErrorInfo | None) -> Json | None:
    return None if failure is None else asdict(failure)


def _moment(time: float | None) -> int | None:
    return None if time is None else int(time)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)

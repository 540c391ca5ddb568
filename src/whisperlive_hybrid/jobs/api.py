"""Jobs in the HTTP API: parses submissions, renders jobs, lists, results and events as JSON."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import Final

from whisperlive_hybrid.errors import BadRequest, Conflict, Unsupported
from whisperlive_hybrid.jobs.model import Job, JobRequest, JobSource, Result
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
"""Fields of uploads."""

JOB_FIELDS: Final = FieldNames(
    (*DECODING_FIELDS.single, "task", "webhook_url"),
    (*DECODING_FIELDS.lists, "url", "urls"),
    DECODING_FIELDS.harmless,
)

RESULT_FIELDS: Final = FieldNames(
    ("format", "file", *LAYOUT_FIELDS, HIGHLIGHT_FIELD), has_file=False
)
"""Query parameters of a result."""

MAX_JSON_BYTES: Final = 1024 * 1024
"""A submission in JSON contains no audio."""

MAX_PAGE_SIZE: Final = 100
DEFAULT_PAGE_SIZE: Final = 20


def parse_job_request(fields: Iterable[tuple[str, str]], models: ModelNames) -> JobRequest:
    """Parse the fields of a submission, in any order; raises as `parse_decoding` does."""
    form = Form.of(fields, JOB_FIELDS)
    task = form.choice("task", [task.value for task in Task], Task.TRANSCRIBE.value)
    return JobRequest(
        audio=parse_decoding(form, models, Task(task)),
        urls=(*form.many("url"), *form.many("urls")),
        webhook_url=form.one("webhook_url"),
    )


def parse_json_fields(body: bytes) -> list[tuple[str, str]]:
    """Return the fields of a JSON submission like those of a form. Raises `BadRequest`."""
    try:
        fields = read_json(body, max_length=MAX_JSON_BYTES)
    except BadJson as error:
        raise BadRequest(f"The body {error.message}.") from error
    if not isinstance(fields, dict):
        raise BadRequest("The body must be a JSON object.")
    for name in fields:
        if name in FILE_FIELDS:
            raise BadRequest(
                f"Field {name!r} is for uploads, in a multipart/form-data form; JSON names "
                "recordings by 'url' or 'urls'.",
                param=name,
                code="unknown_parameter",
            )
    # A list is several fields of one name, null is no field, and an object stays JSON.
    return [
        (name, _field_text(name, item))
        for name, value in fields.items()
        for item in (value if isinstance(value, list) else [value])
        if item is not None
    ]


def _field_text(name: str, value: object) -> str:
    if isinstance(value, list):
        raise BadRequest(f"Field {name[:80]!r} holds a list inside a list.", param=name[:80])
    if not isinstance(value, str):
        return json.dumps(value)
    if has_surrogates(value):
        raise BadRequest(f"Field {name[:80]!r} holds half a character.", param=name[:80])
    return value


def parse_page_size(text: str | None) -> int:
    """Parse the number of jobs on a page; raises `BadRequest`."""
    if text is None:
        return DEFAULT_PAGE_SIZE
    # At most nine digits are converted: int() of a very long text is slow.
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= MAX_PAGE_SIZE):
        raise BadRequest(
            f"Invalid limit {text[:80]!r}: it must be a whole number from 1 to {MAX_PAGE_SIZE}.",
            param="limit",
            code="invalid_value",
        )
    return int(text)


def parse_file_index(text: str | None) -> int | None:
    """Parse the index of a file of a job, from 0; raises `BadRequest`."""
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise BadRequest(
            f"Invalid file {text[:80]!r}: it must be a whole number, counted from 0.",
            param="file",
            code="invalid_value",
        )
    return int(text)


def parse_result_query(
    parameters: Iterable[tuple[str, str]],
) -> tuple[ResponseFormat, CueStyle, int | None]:
    """Parse the format, the style of cues and the file of a result. Raises `BadRequest`."""
    form = Form.of(parameters, RESULT_FIELDS)
    formats = [response_format.value for response_format in ResponseFormat]
    chosen = form.choice("format", formats, ResponseFormat.JSON.value)
    style = cue_style(form, chosen, Task.TRANSCRIBE, format_field="format")
    return ResponseFormat(chosen), style, parse_file_index(form.one("file"))


def render_job(job: Job, *, is_listed: bool = False) -> Json:
    """Return a job; of the text, only the end while the job runs, and in lists."""
    return {
        "id": job.id,
        "object": "job",
        "status": job.status.value,
        "created_at": int(job.created_at),
        "started_at": _whole_seconds(job.started_at),
        "finished_at": _whole_seconds(job.finished_at),
        "expires_at": _whole_seconds(job.expires_at),
        "model": job.request.audio.model,
        "task": job.request.audio.options.task.value,
        "language": job.language,
        "progress": {"done": round(job.done, 3), "total": _round_ms(job.total)},
        # A page of 100 jobs could contain days of text.
        "text": job.text if job.status.is_finished and not is_listed else tail(job.text),
        "error": _error(job.failure),
        "files": [
            {
                "index": source.index,
                "name": source.name,
                "source": source.origin.value,
                "status": source.status.value,
                "done": round(source.done, 3),
                "total": _round_ms(source.total),
                "error": _error(source.failure),
            }
            for source in job.sources
        ],
    }


def render_job_list(jobs: Sequence[Job], *, has_more: bool) -> Json:
    """Return a page of jobs."""
    return {
        "object": "list",
        "data": [render_job(job, is_listed=True) for job in jobs],
        "first_id": jobs[0].id if jobs else None,
        "last_id": jobs[-1].id if jobs else None,
        "has_more": has_more,
    }


def render_deletion(job_id: str) -> Json:
    """Return the response to a deletion."""
    return {"id": job_id, "object": "job", "deleted": True}


def render_progress(job: Job, delta: str) -> Json:
    """Return an event of a job that has not ended; `delta` is present only with new text."""
    event: Json = {"type": "job.progress", "job": render_job(job)}
    return event | ({"delta": delta} if delta else {})


def render_end(job: Job) -> Json:
    """Return the last event of a job, which is also the body of its webhook."""
    return {"type": f"job.{job.status.value}", "job": render_job(job)}


def render_result(
    job: Job,
    source: JobSource,
    result: Result | None,
    response_format: ResponseFormat,
    style: CueStyle | None = None,
) -> Json | str:
    """Return the transcript of one file, as /v1/audio returns it.

    Raises `Conflict` if the file has no result, and `Unsupported` if words are to be highlighted
    but have no times.
    """
    if result is None:
        # Also a cancelled file with text: it is not complete, so it is part of the job only.
        why, code = "It was cancelled.", "file_cancelled"
        if source.failure:
            why, code = source.failure.message, "file_failed"
        message = f"File {source.index} ({source.name!r}) has no result: {why}"
        raise Conflict(message, param="file", code=code)
    if style and style.highlight_words and any(part.words is None for part in result.segments):
        raise Unsupported(
            "highlight_words is not supported for this job: its words have no times, because "
            "it is a translation or its model does not measure them.",
            param=HIGHLIGHT_FIELD,
        )
    style = style or CueStyle()
    request = replace(job.request.audio, response_format=response_format, cue_style=style)
    language, duration = result.language, result.duration
    return bodies.render_transcript(request, result.segments, language, duration, result.unread)


def render_results(
    job: Job,
    results: Sequence[tuple[JobSource, Result | None]],
    response_format: ResponseFormat,
) -> Json:
    """Return the transcripts of several files; raises `BadRequest` for formats of one file."""
    # All other formats are text of one recording.
    if response_format not in (ResponseFormat.JSON, ResponseFormat.VERBOSE_JSON):
        raise BadRequest(
            f"The job has {len(results)} files, and {response_format.value!r} holds one: name it "
            f"as file=0 to file={len(results) - 1}.",
            param="file",
            code="invalid_value",
        )
    data: list[Json] = []
    for source, result in results:
        entry: Json = {"index": source.index, "name": source.name, "status": source.status.value}
        if result is None:
            data.append(entry | {"error": _error(source.failure)})
            continue
        body = render_result(job, source, result, response_format)
        data.append(entry | (body if isinstance(body, dict) else {"text": body}))
    return {"object": "list", "data": data}


def _error(failure: ErrorInfo | None) -> Json | None:
    return None if failure is None else asdict(failure)


def _whole_seconds(time: float | None) -> int | None:
    # As in OpenAI's API.
    return None if time is None else int(time)


def _round_ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)

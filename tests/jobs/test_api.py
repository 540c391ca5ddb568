import json
from dataclasses import replace

import pytest

from whisperlive_hybrid.errors import BadRequest, Conflict, NotFound
from whisperlive_hybrid.jobs.api import (
    parse_file_index,
    parse_job_request,
    parse_json_fields,
    parse_page_size,
    render_end,
    render_job,
    render_job_list,
    render_progress,
    render_result,
    render_results,
)
from whisperlive_hybrid.jobs.model import Job, JobRequest, JobSource, Result, SourceOrigin, Status
from whisperlive_hybrid.protocol.errors import ErrorInfo
from whisperlive_hybrid.protocol.model_names import ModelNames
from whisperlive_hybrid.protocol.openai.request import AudioRequest, Granularity, ResponseFormat
from whisperlive_hybrid.types import Segment, Task

MODELS = ModelNames("demo", ("small",))
FAILURE = ErrorInfo("Not audio.", "invalid_request_error", "file", None)


def source(index: int = 0, status: Status = Status.COMPLETED, **changes: object) -> JobSource:
    """A file of a job."""
    made = JobSource(index + 1, index, f"{index}.wav", SourceOrigin.UPLOAD, None, "x.media", status)
    return replace(made, **changes)  # type: ignore[arg-type]


def job(*sources: JobSource, **changes: object) -> Job:
    """A job that has ended."""
    request = JobRequest(AudioRequest(model="demo"))
    files = sources or (source(),)
    made = Job(7, "job_1", "", request, Status.COMPLETED, files, 1000.9, 1001.0, 1002)
    return replace(made, **changes)  # type: ignore[arg-type]


# Submissions


def test_all_that_a_transcription_can_be_asked_for() -> None:
    """With URLs under all names of their fields."""
    request = parse_job_request(
        [
            ("model", "small"),
            ("language", "german"),
            ("task", "translate"),
            ("prompt", "Dr. Ü"),
            ("keywords[]", "Kassel"),
            ("temperature", "0.2"),
            ("timestamp_granularities[]", "word"),
            ("chunking_strategy[threshold]", "0.7"),
            ("url", "https://a"),
            ("urls[]", "https://c"),
            ("url[]", "https://b"),
            ("webhook_url", "https://hook"),
        ],
        MODELS,
    )
    options = request.audio.options
    assert (request.audio.model, options.language, options.task) == ("small", "de", Task.TRANSLATE)
    assert (options.prompt, options.hotwords, options.words) == ("Dr. Ü", "Kassel", True)
    assert options.temperatures[0] == 0.2
    assert request.audio.vad.threshold == 0.7
    assert request.audio.granularities == {Granularity.WORD}
    assert request.urls == ("https://a", "https://b", "https://c")
    assert request.webhook_url == "https://hook"


def test_all_fields_but_the_file_are_optional() -> None:
    """A file alone is enough."""
    assert parse_job_request([], MODELS) == JobRequest(AudioRequest(model="demo"))


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ([("response_format", "srt")], BadRequest, "Unknown field 'response_format'"),
        ([("langauge", "en")], BadRequest, "Unknown field 'langauge'"),
        ([("task", "sing")], BadRequest, "transcribe, translate"),
        ([("model", "large")], NotFound, "'demo', 'small'"),
        ([("timestamp_granularities[]", "letter")], BadRequest, "segment, word"),
        ([("webhook_url", "a"), ("webhook_url", "b")], BadRequest, "2 times"),
    ],
)
def test_what_makes_no_sense_is_named(
    fields: list[tuple[str, str]], error: type[Exception], message: str
) -> None:
    """The format belongs to the result; all else is as for a transcription."""
    with pytest.raises(error, match=message):
        parse_job_request(fields, MODELS)


def test_json_says_the_same_as_a_form() -> None:
    """Lists as arrays, numbers and objects as themselves, null for nothing."""
    body = {
        "urls": ["https://a", "https://b"],
        "language": None,
        "temperature": 0.2,
        "chunking_strategy": {"type": "server_vad", "threshold": 0.7},
    }
    request = parse_job_request(parse_json_fields(json.dumps(body).encode()), MODELS)
    assert request.urls == ("https://a", "https://b")
    assert request.audio.options.temperatures[0] == 0.2
    assert request.audio.vad.threshold == 0.7


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"urls",
        b"[1]",
        b"[" * 100_000,
        b'{"urls": [["a"]]}',
        b'{"prompt": "\\ud800"}',
        b"\xff",
    ],
)
def test_what_is_no_object_is_refused(body: bytes) -> None:
    """Lists, numbers and text alike."""
    with pytest.raises(BadRequest):
        parse_json_fields(body)


@pytest.mark.parametrize("written", ["0", "101", "-1", "x", "1.5", "", "²"])
def test_page_sizes_have_bounds(written: str) -> None:
    """The message names them."""
    with pytest.raises(BadRequest, match="1 to 100"):
        parse_page_size(written)


def test_numbers_are_read() -> None:
    """Twenty jobs by default; files count from 0."""
    assert (parse_page_size(None), parse_page_size("1"), parse_page_size("100")) == (20, 1, 100)
    assert (parse_file_index(None), parse_file_index("0"), parse_file_index("12")) == (None, 0, 12)
    with pytest.raises(BadRequest, match="counted from 0"):
        parse_file_index("-1")


# Objects


def test_a_job_has_all_its_keys() -> None:
    """Also those without a value yet."""
    queued = job(
        source(status=Status.QUEUED), status=Status.QUEUED, started_at=None, finished_at=None
    )
    assert render_job(queued) == {
        "id": "job_1",
        "object": "job",
        "status": "queued",
        "created_at": 1000,
        "started_at": None,
        "finished_at": None,
        "expires_at": None,
        "model": "demo",
        "task": "transcribe",
        "language": None,
        "progress": {"done": 0.0, "total": None},
        "text": "",
        "error": None,
        "files": [
            {
                "index": 0,
                "name": "0.wav",
                "source": "upload",
                "status": "queued",
                "done": 0.0,
                "total": None,
                "error": None,
            }
        ],
    }


def test_progress_adds_up_over_the_files() -> None:
    """The total is unknown as long as one length is; a failed file counts as far as it got."""
    first = source(0, done=10.0, total=10.0)
    second = source(1, Status.RUNNING, done=2.5, total=None)
    failed = source(2, Status.FAILED, done=1.0, failure=FAILURE)
    assert render_job(job(first, second, failed))["progress"] == {"done": 13.5, "total": None}
    known = replace(second, total=5.0)
    assert render_job(job(first, known, failed))["progress"] == {"done": 13.5, "total": 16.0}


def test_a_failed_job_says_why() -> None:
    """With the error of the first failed file."""
    failed = source(status=Status.FAILED, failure=FAILURE)
    sent = render_job(job(failed, status=Status.FAILED))
    assert sent["error"] == {
        "message": "Not audio.",
        "type": "invalid_request_error",
        "param": "file",
        "code": None,
    }
    assert render_job(job(failed, source(1)))["error"] is None


def test_the_text_is_cut_while_it_grows_and_in_lists() -> None:
    """Its last 200 characters; all of it once the job has ended."""
    text = "a" * 300
    assert render_job(job(text=text))["text"] == text
    assert render_job(job(text=text, status=Status.RUNNING))["text"] == "a" * 200
    listed = render_job_list([job(text=text)], has_more=False)["data"]
    assert isinstance(listed, list)
    assert listed[0]["text"] == "a" * 200


def test_lists_say_where_they_begin_and_end() -> None:
    """So that a client can request the next page."""
    listed = render_job_list([job(id="job_2"), job(id="job_1")], has_more=True)
    assert (listed["first_id"], listed["last_id"], listed["has_more"]) == ("job_2", "job_1", True)
    empty = render_job_list([], has_more=False)
    assert (empty["data"], empty["first_id"], empty["last_id"]) == ([], None, None)


def test_events_carry_the_job() -> None:
    """`delta` only where there is new text; the last one is named after how it ended."""
    assert render_progress(job(), "") == {"type": "job.progress", "job": render_job(job())}
    assert render_progress(job(), "new")["delta"] == "new"
    assert render_end(job(status=Status.CANCELLED))["type"] == "job.cancelled"


# Results

RESULT = Result((Segment(0.0, 1.0, " Hello.", (1,), 0.0, -0.1, 1.0, 0.0),), "en", 1.5)


def test_a_result_equals_the_response_to_an_upload() -> None:
    """In all formats."""
    assert render_result(job(), source(), RESULT, ResponseFormat.TEXT) == "Hello.\n"
    body = render_result(job(), source(), RESULT, ResponseFormat.VERBOSE_JSON)
    assert isinstance(body, dict)
    assert (body["language"], body["duration"], body["text"]) == ("english", 1.5, "Hello.")


def test_a_file_without_a_result_says_why() -> None:
    """It is not an empty transcript."""
    failed = source(status=Status.FAILED, failure=FAILURE)
    with pytest.raises(Conflict, match="Not audio") as refusal:
        render_result(job(), failed, None, ResponseFormat.TEXT)
    assert refusal.value.code == "file_failed"
    cancelled = source(status=Status.CANCELLED)
    with pytest.raises(Conflict, match="It was cancelled") as refusal:
        render_result(job(), cancelled, None, ResponseFormat.TEXT)
    assert refusal.value.code == "file_cancelled"


def test_several_results_are_a_list() -> None:
    """Each file with its body or its error."""
    failed = source(1, Status.FAILED, failure=FAILURE)
    results = [(source(), RESULT), (failed, None)]
    listed = render_results(job(source(), failed), results, ResponseFormat.JSON)
    assert listed == {
        "object": "list",
        "data": [
            {
                "index": 0,
                "name": "0.wav",
                "status": "completed",
                "text": "Hello.",
                "usage": {"type": "duration", "seconds": 2},
            },
            {
                "index": 1,
                "name": "1.wav",
                "status": "failed",
                "error": {
                    "message": "Not audio.",
                    "type": "invalid_request_error",
                    "param": "file",
                    "code": None,
                },
            },
        ],
    }


@pytest.mark.parametrize("wanted", [ResponseFormat.TEXT, ResponseFormat.SRT, ResponseFormat.VTT])
def test_text_holds_one_file(wanted: ResponseFormat) -> None:
    """The message asks for the parameter."""
    with pytest.raises(BadRequest, match="file=0 to file=1"):
        render_results(job(), [(source(), RESULT), (source(1), RESULT)], wanted)

"""Replies against the OpenAPI document, with requests that schemathesis makes of it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Final

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import Case, Response
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from whisperlive_hybrid.backends.fake import FakeBackend, speak
from whisperlive_hybrid.languages import LANGUAGES
from whisperlive_hybrid.types import Samples

CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
"""All but those that ask which requests are accepted: a document cannot say that a file must hold
audio, or that two fields contradict each other."""

JOB: Final = "/v1/jobs/{job_id}"
PAGES: Final = [
    "/",
    "/health",
    "/ready",
    "/metrics",
    "/v1/server",
    "/v1/models",
    "/v1/models/{model}",
    "/v1/jobs",
    "/v1/usage",
    JOB,
    f"{JOB}/result",
]
FORMS: Final = [
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
    "/transcribe",
    "/transcribe/url",
    "/v1/jobs",
]
MULTIPART: Final = "multipart/form-data"
OF_ONE_JOB: Final = [("DELETE", JOB), ("POST", f"{JOB}/cancel"), ("GET", f"{JOB}/events")]
"""Asked with jobs that there are."""

steady = settings(
    max_examples=30,
    derandomize=True,  # the same requests in every run
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module", autouse=True)
def plain_files() -> None:
    """Have files made up as text; `asked` turns it into bytes.

    The wrapper that schemathesis 4 draws for bytes is no value that its own validator takes, so
    forbidden forms with a file would now and then end in its ValueError.
    """
    schemathesis.openapi.format("binary", st.text(max_size=50))


@pytest.fixture(scope="module")
def address(serve: Callable[..., AbstractContextManager[str]]) -> Iterator[str]:
    """A server whose model knows every language of the document."""
    with serve(FakeBackend(languages=frozenset(LANGUAGES))) as served:
        yield served


def asked(address: str, method: str, path: str, mode: GenerationMode, audio: bytes) -> set[int]:
    """Ask with what the document allows or forbids; the statuses of the replies."""
    operation = schemathesis.openapi.from_url(f"{address}/openapi.json")[path][method]
    statuses: set[int] = set()

    @steady
    @given(case=operation.as_strategy(generation_mode=mode), is_audio=st.booleans())
    def ask(case: Case[Any], *, is_audio: bool) -> None:
        body: Any = case.body
        if isinstance(body, dict) and path.endswith("/url"):
            body["url"] = f"{address}/health"  # made-up ones would be looked up
        elif isinstance(body, dict) and case.media_type == MULTIPART:
            if is_audio:
                body["file"] = audio
                body.pop("model", None)  # a made-up name is never found
            elif isinstance(body.get("file"), str):
                body["file"] = body["file"].encode()
        reply = case.call()
        case.validate_response(reply, checks=CHECKS)
        statuses.add(reply.status_code)

    ask()
    return statuses


def test_every_route_is_asked(address: str) -> None:
    """A new route must be added to the table deliberately."""
    paths = httpx.get(f"{address}/openapi.json").json()["paths"]
    listed = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert listed == {
        *(("POST", path) for path in FORMS),
        *(("GET", path) for path in PAGES),
        *OF_ONE_JOB,
    }


@pytest.mark.parametrize("path", PAGES)
def test_pages(address: str, path: str) -> None:
    """What is read only is as the document says."""
    assert asked(address, "GET", path, GenerationMode.POSITIVE, b"")


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_forms(
    address: str, write_wav: Callable[[Samples], bytes], path: str, mode: GenerationMode
) -> None:
    """Whatever is asked in whatever way, the reply is documented, and no fault of ours."""
    statuses = asked(address, "POST", path, mode, write_wav(speak([1, 2])))
    assert statuses <= {200, 202, 400, 404}


@pytest.mark.parametrize(
    ("fields", "content_type"),
    [
        ({}, "application/json"),
        ({"response_format": "json", "include[]": ["logprobs"]}, "application/json"),
        ({"response_format": "json", "languages[]": ["de", "en"]}, "application/json"),
        (
            {"response_format": "verbose_json", "timestamp_granularities[]": ["word", "segment"]},
            "application/json",
        ),
        (
            {"response_format": "verbose_json", "timestamp_granularities[]": ["word"]},
            "application/json",
        ),
        ({"response_format": "text"}, "text/plain"),
        ({"response_format": "srt"}, "text/plain"),
        ({"response_format": "vtt"}, "text/plain"),
        ({"stream": True}, "text/event-stream"),
        ({"stream": True, "include[]": ["logprobs"]}, "text/event-stream"),
    ],
)
def test_good_replies(
    address: str,
    write_wav: Callable[[Samples], bytes],
    fields: dict[str, Any],
    content_type: str,
) -> None:
    """Each shape of a transcript is as the document says."""
    operation = schemathesis.openapi.from_url(f"{address}/openapi.json")[FORMS[0]]["POST"]
    body = {"file": write_wav(speak([1, 2])), **fields}
    reply = operation.Case(body=body, media_type="multipart/form-data").call_and_validate(
        checks=CHECKS
    )
    assert reply.status_code == 200
    assert reply.headers["content-type"][0].partition(";")[0] == content_type


def test_replies_about_a_job(address: str, write_wav: Callable[[Samples], bytes]) -> None:
    """From its submission to its end, each is as the document says, in every format."""
    document = schemathesis.openapi.from_url(f"{address}/openapi.json")

    def ask(method: str, path: str, **given: Any) -> Response:  # noqa: ANN401 (those of `Case`)
        case = document[path][method].Case(**given)
        reply = case.call()
        case.validate_response(reply, checks=CHECKS)
        return reply

    body = {
        "file": write_wav(speak([1, 2])),
        "urls[]": ["https://example/gone"],
        "timestamp_granularities[]": ["word", "segment"],
    }
    job = ask("POST", "/v1/jobs", body=body, media_type="multipart/form-data").json()
    one = {"path_parameters": {"job_id": job["id"]}}
    assert ask("GET", f"{JOB}/events", **one).headers["content-type"] == [
        "text/event-stream; charset=utf-8"
    ]
    assert ask("GET", JOB, **one).json()["status"] == "completed"
    assert ask("GET", "/v1/jobs", query={"limit": 1}).json()["has_more"] in {True, False}
    for wanted in ("json", "verbose_json"):
        whole = ask("GET", f"{JOB}/result", **one, query={"format": wanted}).json()
        assert [entry["status"] for entry in whole["data"]] == ["completed", "failed"]
    for wanted in ("json", "verbose_json", "text", "srt", "vtt"):
        query = {"format": wanted, "file": 0}
        assert ask("GET", f"{JOB}/result", **one, query=query).status_code == 200
    assert ask("POST", f"{JOB}/cancel", **one).status_code == 409
    assert ask("DELETE", JOB, **one).json()["deleted"]
    for method, path in OF_ONE_JOB:
        assert ask(method, path, **one).status_code == 404


def test_no_422_is_documented(address: str) -> None:
    """FastAPI would promise its own `detail` for every route with a parameter."""
    document = httpx.get(f"{address}/openapi.json").text
    assert '"422"' not in document
    assert "HTTPValidationError" not in document

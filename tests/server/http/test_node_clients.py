"""OpenAI's Node client and the Vercel AI SDK, also for Groq, against a real port."""

import json
import shutil
import subprocess
from typing import Any

import httpx
import pytest
from paths import CLIPS, TESTS

NODE = TESTS / "node"
CLIP = CLIPS / "en-long-0.flac"
NODE_COMMAND = shutil.which("node")

pytestmark = pytest.mark.skipif(
    NODE_COMMAND is None or not (NODE / "node_modules").is_dir(),
    reason="no Node, or `make install-test` could not install its clients (tests/node)",
)


@pytest.fixture(scope="module")
def answers(speech_server: str) -> dict[str, Any]:
    """Everything that the clients were answered."""
    command = [NODE_COMMAND or "node", "clients.mjs", f"{speech_server}/v1", str(CLIP)]
    done = subprocess.run(command, cwd=NODE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def plain(address: str, **fields: str | list[str]) -> httpx.Response:
    """The answer to a request without any SDK."""
    url = f"{address}/v1/audio/transcriptions"
    with CLIP.open("rb") as file, httpx.Client() as client:
        return client.post(url, files={"file": file}, data=fields).raise_for_status()


def test_node_and_plain_requests_get_the_same(answers: dict[str, Any], speech_server: str) -> None:
    """Letter by letter, in every format."""
    for name in ("text", "srt", "vtt"):
        assert answers[name] == plain(speech_server, response_format=name).text
    assert answers["json"] == plain(speech_server).json()
    both = ["word", "segment"]
    verbose = {"response_format": "verbose_json", "timestamp_granularities[]": both}
    assert answers["verbose_json"] == plain(speech_server, **verbose).json()  # type: ignore[arg-type]
    assert answers["logprobs"] == plain(speech_server, **{"include[]": "logprobs"}).json()


def test_node_reads_the_stream(answers: dict[str, Any]) -> None:
    """Pieces that are the text, one for each window, and an end."""
    *deltas, done = answers["events"]
    assert deltas
    assert "".join(event["delta"] for event in deltas) == done["text"] == answers["json"]["text"]


def test_node_sends_nested_fields(answers: dict[str, Any]) -> None:
    """Its spelling of a chunking strategy is understood."""
    assert answers["vad"]["text"]


def test_node_translates(answers: dict[str, Any]) -> None:
    """Into English."""
    assert answers["translation"]["task"] == "translate"
    assert answers["translation"]["text"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bad", ("BadRequestError", 400, "invalid_value", "language")),
        ("missing", ("NotFoundError", 404, "model_not_found", None)),
        ("undecodable", ("BadRequestError", 400, None, "file")),
        ("large", ("APIError", 413, None, None)),
    ],
)
def test_node_raises_typed_errors(
    answers: dict[str, Any], name: str, expected: tuple[object, ...]
) -> None:
    """With the code, the field and the id of the request."""
    raised = answers[name]
    assert (raised["class"], raised["status"], raised["code"], raised["param"]) == expected
    assert raised["requestID"].startswith("req_")


def test_the_ai_sdk_keeps_language_and_segments(answers: dict[str, Any]) -> None:
    """Its strict schema takes the whole verbose body and maps the language's name to its code."""
    made, verbose = answers["ai"], answers["verbose_json"]
    assert made["text"] == answers["ai_plain"] == verbose["text"]
    assert made["language"] == "en"
    assert made["durationInSeconds"] == verbose["duration"]
    assert [each["text"] for each in made["segments"]] == [
        each["text"] for each in verbose["segments"]
    ]


def test_the_ai_sdk_for_groq_takes_the_answers(answers: dict[str, Any]) -> None:
    """With its strict schema; granularities without a format for them do no harm."""
    verbose = answers["verbose_json"]
    assert answers["groq_plain"]["text"] == answers["groq_words"]["text"] == verbose["text"]
    assert answers["groq_verbose"]["language"] == "english"
    assert [each["text"] for each in answers["groq_verbose"]["segments"]] == [
        each["text"] for each in verbose["segments"]
    ]

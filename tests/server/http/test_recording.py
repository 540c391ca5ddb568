"""Files with several audio tracks, through every way into the HTTP server."""

import json
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from media_samples import film
from speech_clips import Clip

TEXTS = ("Oscar buys the picture.", "")
"""Of the second track, which is the default, and of the first one, which is silent."""


@pytest.fixture(scope="module")
def movie(clips: list[Clip]) -> bytes:
    """A silent track, and one of speech that is marked as default."""
    (spoken,) = (clip for clip in clips if clip.file == "en-0.flac")
    samples = np.repeat(spoken.samples, 3)  # at 48 kHz
    return film("matroska", "aac", [np.zeros_like(samples), samples], default=1)


@pytest.fixture
def client(speech_server: str) -> Iterator[httpx.Client]:
    """A client without an SDK."""
    with httpx.Client(base_url=speech_server, timeout=60) as connected:
        yield connected


def job_text(client: httpx.Client, movie: bytes, fields: dict[str, str]) -> str:
    """Return the text of a job, or the message of its error."""
    files = {"file": ("film.mkv", movie)}
    job = client.post("/v1/jobs", files=files, data=fields).json()
    with client.stream("GET", f"/v1/jobs/{job['id']}/events") as events:
        data = [line.removeprefix("data: ") for line in events.iter_lines() if "data: " in line]
    ended = json.loads(data[-1])["job"]
    said: str = ended["error"]["message"] if ended["error"] else ended["text"]
    return said


@pytest.mark.parametrize(
    ("fields", "text"), [({}, 0), ({"audio_track": "1"}, 0), ({"audio_track": "0"}, 1)]
)
def test_the_default_track_is_read_unless_another_is_chosen(
    client: httpx.Client, movie: bytes, fields: dict[str, str], text: int
) -> None:
    """The OpenAI audio API, whole and streamed, the older request, and jobs."""
    form = {"language": "en", **fields}
    files = {"file": ("film.mkv", movie)}
    audio = client.post("/v1/audio/transcriptions", files=files, data=form)
    assert audio.json()["text"] == TEXTS[text]
    stream = client.post("/v1/audio/transcriptions", files=files, data={**form, "stream": "true"})
    assert json.loads(stream.text.strip().split("data: ")[-1])["text"] == TEXTS[text]
    older = client.post("/transcribe", files=files, data=form).json()
    assert "".join(segment["text"] for segment in older["segments"]) == TEXTS[text]
    assert job_text(client, movie, form) == TEXTS[text]


@pytest.mark.parametrize("path", ["/v1/audio/transcriptions", "/v1/audio/translations"])
def test_a_track_that_is_not_there_is_refused(
    client: httpx.Client, movie: bytes, path: str
) -> None:
    """With 400 and the number of tracks."""
    files = {"file": ("film.mkv", movie)}
    reply = client.post(path, files=files, data={"audio_track": "2"})
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == "audio_track"
    assert "has 2 audio tracks" in reply.json()["error"]["message"]


def test_the_other_ways_refuse_it_too(client: httpx.Client, movie: bytes) -> None:
    """/transcribe with 400; a job fails with the same words."""
    files = {"file": ("film.mkv", movie)}
    reply = client.post("/transcribe", files=files, data={"audio_track": "2"})
    assert reply.status_code == 400
    assert "has 2 audio tracks" in reply.json()["error"]
    assert "has 2 audio tracks" in job_text(client, movie, {"audio_track": "2"})

"""Whisper base on a recording that is English for 15 s and then German, through both servers."""

from collections.abc import Iterator
from pathlib import Path

import anyio
import httpx
import numpy as np
import pytest
from live_clients import LiveClient
from real_weights import lacking
from running_server import Server
from wav_files import write_wav
from websockets.asyncio.client import connect

from whisperlive_hybrid.bench.corpus import read_samples
from whisperlive_hybrid.types import SAMPLE_RATE, Samples

PATIENCE_S = 180.0
ENGLISH = "to any person obtaining a copy of this software"
GERMAN = "die Software zu verwenden"
INVENTED = "the right to use the software"
"""What base makes of the German where it takes it for English, on many processors."""


@pytest.fixture(scope="module")
def talk(speech_dir: Path) -> Path:
    """15 s of English and 29 s of German, with a short pause between them."""
    name = "03-second-language-translated/en15s-de29s.ogg"
    file = speech_dir.parent / "cases" / name
    if not file.is_file():
        lacking("no recording in two languages beside the real speech")
    return file


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    """A client of the HTTP server."""
    with httpx.Client(base_url=server.http_url, timeout=PATIENCE_S) as client:
        yield client


def posted(http: httpx.Client, talk: Path, **form: str) -> httpx.Response:
    """Upload the recording."""
    files = {"file": (talk.name, talk.read_bytes())}
    return http.post("/v1/audio/transcriptions", files=files, data=form)


def test_each_part_of_a_file_is_in_its_language(http: httpx.Client, talk: Path) -> None:
    """Although one window holds the change; the answer says where which is spoken."""
    form = {"multilingual": "true", "response_format": "verbose_json"}
    body = posted(http, talk, **form).json()
    assert body["language"] == "english"
    assert ENGLISH in body["text"]
    assert GERMAN in body["text"]
    assert INVENTED not in body["text"]
    changes = [each["start"] for each in body["segments"] if each["language"] == "de"]
    assert 14.0 < min(changes) < 17.0
    assert [each["language"] for each in body["segments"]] == sorted(
        (each["language"] for each in body["segments"]), reverse=True
    )


def test_without_it_the_log_says_that_the_language_changes(
    http: httpx.Client, talk: Path, server: Server, tmp_path: Path
) -> None:
    """One language holds for the whole recording, that of its first window."""
    samples = read_samples(talk)
    english, german = np.split(samples, [15 * SAMPLE_RATE])
    parted = tmp_path / "parted.wav"
    silence: Samples = np.zeros(3 * SAMPLE_RATE, np.float32)
    parted.write_bytes(write_wav(np.concatenate([english, silence, german])))
    body = posted(http, parted, response_format="verbose_json").json()
    assert body["language"] == "english"
    log = (server.data_dir / "log").read_text(encoding="utf-8")
    [warning] = [line for line in log.splitlines() if "the language seems to change" in line]
    assert '"detected": "de"' in warning


def test_an_english_model_refuses_it(http: httpx.Client, talk: Path) -> None:
    """It cannot tell other languages from English."""
    reply = posted(http, talk, multilingual="true", model="tiny.en")
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "multilingual")


@pytest.mark.anyio
async def test_each_utterance_of_a_stream_is_in_its_language(server: Server, talk: Path) -> None:
    """Completed segments say which."""
    samples = read_samples(talk)
    async with connect(server.live_url, max_size=None) as socket:
        client = LiveClient(socket)
        await client.greet(language=None, model="base", use_vad=True, multilingual=True)
        await client.next()
        await client.say(*np.array_split(samples, 40))
        await client.end()
        with anyio.fail_after(PATIENCE_S):
            await client.rest()
    assert ENGLISH in client.text
    assert GERMAN in client.text
    assert INVENTED not in client.text
    last = client.messages[-1]["segments"][-1]
    assert (last["completed"], last["language"]) == (True, "de")

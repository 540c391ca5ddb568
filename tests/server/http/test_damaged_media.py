"""Damaged files through the whole server: real decoders, real voice detection, the demo model."""

import json
import random
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from media_samples import encode, wav
from speech_clips import Clip
from watched_files import WatchedFile, watch_uploads

KINDS = [
    ("wav", "pcm_s16le"),
    ("mp3", "libmp3lame"),
    ("flac", "flac"),
    ("ogg", "libopus"),
    ("mp4", "aac"),
    ("mov", "alac"),
    ("webm", "libopus"),
    ("mpeg", "mp2"),
    ("mpegts", "aac"),
    ("aiff", "pcm_s16be"),
    ("avi", "libmp3lame"),
    ("adts", "aac"),
]


@pytest.fixture
def temporary_files(monkeypatch: pytest.MonkeyPatch) -> list[WatchedFile]:
    """Those of all uploads of the test."""
    return watch_uploads(monkeypatch)


@pytest.fixture
def client(speech_server: str) -> Iterator[httpx.Client]:
    """A client without an SDK: what it asks is asked once."""
    with httpx.Client(base_url=speech_server, timeout=60) as connected:
        yield connected


def damaged(media: bytes) -> Iterator[bytes]:
    """A good file cut off, with bits flipped, and with holes; the same ones in every run."""
    dice = random.Random(len(media))
    for share in (0.02, 0.5, 0.97):
        yield media[: round(len(media) * share)]
    for reach in (200, len(media)):
        wounded = bytearray(media)
        for _ in range(20):
            wounded[dice.randrange(min(reach, len(media)))] ^= 1 << dice.randrange(8)
        yield bytes(wounded)
    middle = len(media) // 2
    yield media[: middle - 300] + bytes(600) + media[middle + 300 :]


def answer(client: httpx.Client, name: str, media: bytes, *, stream: bool) -> dict[str, Any]:
    """The last thing that is said about a file: a text, or an error with all its keys."""
    data = {"stream": "true", "language": "en"} if stream else {"language": "en"}
    reply = client.post("/v1/audio/transcriptions", files={"file": (name, media)}, data=data)
    assert reply.status_code in (200, 400), reply.text
    if reply.headers["content-type"].startswith("text/event-stream"):
        body = json.loads(reply.text.split("data: ")[-1])
    else:
        body = reply.json()
    made: dict[str, Any] = body
    if "error" in made:
        assert list(made["error"]) == ["message", "type", "param", "code"]
        assert made["error"]["type"] == "invalid_request_error"
    else:
        assert isinstance(made["text"], str)
    return made


@pytest.mark.parametrize(("container", "codec"), KINDS, ids=[kind for kind, _ in KINDS])
def test_damaged_files(
    client: httpx.Client,
    sentences: list[Clip],
    temporary_files: list[WatchedFile],
    container: str,
    codec: str,
) -> None:
    """Each is read or refused, whole or as a stream; the good file is read before and after.

    The twelve kinds share the two ways of answering, which decode alike.
    """
    good = encode(container, codec, samples=np.repeat(sentences[0].samples, 3))
    text = answer(client, "a.wav", good, stream=False)["text"]  # whatever its name says
    assert text == sentences[0].text
    for number, media in enumerate(damaged(good)):
        answer(client, f"a.{container}", media, stream=number % 2 == 1)
    assert answer(client, "no name at all", good, stream=True)["text"] == text
    assert len(temporary_files) == 8
    assert all(file.closed for file in temporary_files)
    assert client.get("/health").json()["queue_depth"] == 0


@pytest.mark.parametrize("stream", [False, True])
def test_the_first_half_of_an_mp4(client: httpx.Client, *, stream: bool) -> None:
    """The client reads that the file was cut off, not that it is no audio."""
    media = encode("mp4", "aac")
    body = answer(client, "talk.mp4", media[: len(media) // 2], stream=stream)
    assert body["error"]["message"].startswith("The file was cut off")
    assert (body["error"]["param"], body["error"]["code"]) == ("file", "audio_incomplete")


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_samples_that_are_no_numbers(
    client: httpx.Client, sentences: list[Clip], rate: int
) -> None:
    """A float WAV with NaN, infinity and 1e30 among its words has the text of one without."""
    good = np.repeat(sentences[0].samples, rate // 16_000)
    broken = good.copy()
    step = rate // 4
    broken[step::step] = np.resize([np.nan, 1e30, -np.inf, -1e30], len(broken[step::step]))
    texts = [
        answer(client, "a.wav", wav(each.tobytes(), rate=rate, bits=32, tag=3), stream=False)[
            "text"
        ]
        for each in (good, broken)
    ]
    assert texts == [sentences[0].text] * 2

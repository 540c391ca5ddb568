"""Times of real speech: of words and cues beside silences whose edges are known."""

import re
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from real_helpers import Recording
from running_server import Server
from wav_files import write_wav

from whisperlive_hybrid.bench.corpus import read_samples
from whisperlive_hybrid.types import SAMPLE_RATE, Samples

CLIPS = ("ls-1688-142285-0000", "ls-1998-15444-0000")
SILENCE_S = 30.0
SLACK_S = 0.5
"""How far a word may reach into a silence."""

CLOCK = re.compile(r"(\d\d):(\d\d):(\d\d)[,.](\d{3})")


@pytest.fixture(scope="module")
def voices(recordings: dict[str, Recording]) -> list[Samples]:
    """Two readers."""
    return [read_samples(recordings[name].file) for name in CLIPS]


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    """A client of the HTTP server."""
    with httpx.Client(base_url=server.http_url, timeout=120.0) as client:
        yield client


def answer(http: httpx.Client, samples: Samples, **form: str) -> httpx.Response:
    """What /v1/audio/transcriptions says of English speech."""
    files = {"file": ("speech.wav", write_wav(np.clip(samples, -1, 0.9999)))}
    form = {"language": "en", **form}
    reply = http.post("/v1/audio/transcriptions", files=files, data=form)
    assert reply.status_code == 200, reply.text
    return reply


def cues_of(text: str) -> list[tuple[float, float, list[str]]]:
    """Start, end and lines of each cue of an srt or vtt file."""
    blocks = [block.split("\n") for block in text.strip().split("\n\n") if "-->" in block]
    return [
        (*times_of(next(line for line in block if "-->" in line)), shown_by(block))
        for block in blocks
    ]


def times_of(line: str) -> tuple[float, float]:
    """Start and end in seconds."""
    start, end = (
        int(hours) * 3600 + int(minutes) * 60 + int(seconds) + int(thousandths) / 1000
        for hours, minutes, seconds, thousandths in CLOCK.findall(line)
    )
    return start, end


def shown_by(block: list[str]) -> list[str]:
    """The lines behind the times."""
    return block[next(i for i, line in enumerate(block) if "-->" in line) + 1 :]


@pytest.mark.parametrize("wanted", ["srt", "vtt"])
def test_cues_can_be_read_and_leave_silence_free(
    http: httpx.Client, voices: list[Samples], wanted: str
) -> None:
    """At most 7 s and two lines of 42 characters, with the words of json, letter for letter."""
    noise = np.random.default_rng(0).normal(0, 1e-4, round(SILENCE_S * SAMPLE_RATE))
    first, second = voices
    spliced = np.concatenate([first, noise.astype(np.float32), second])
    silence = len(first) / SAMPLE_RATE, len(first) / SAMPLE_RATE + SILENCE_S
    cues = cues_of(answer(http, spliced, response_format=wanted).text)
    for start, end, lines in cues:
        assert end <= silence[0] + SLACK_S or start >= silence[1] - SLACK_S
        assert end - start <= 7.001
        assert len(lines) <= 2
        assert all(len(line) <= 42 for line in lines)
    text = answer(http, spliced).json()["text"]
    assert " ".join(" ".join(lines) for *_, lines in cues) == text


def test_words_behind_silence_begin_with_their_sound(
    http: httpx.Client, voices: list[Samples]
) -> None:
    """Also where silence is read too; no word is without length or lasts for seconds."""
    silence = np.zeros(20 * SAMPLE_RATE, np.float32)
    form = {"response_format": "verbose_json", "timestamp_granularities[]": "word"}
    spliced = np.concatenate([silence, voices[0][: 8 * SAMPLE_RATE]])
    words = answer(http, spliced, vad_filter="false", **form).json()["words"]
    assert len(words) > 10
    assert words[0]["start"] >= 20.0 - 2 * SLACK_S
    assert all(0 < word["end"] - word["start"] < 2.0 for word in words)

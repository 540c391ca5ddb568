"""Tracks, channels and levels of sound as people have it, on Whisper base and real recordings."""

import json
from collections.abc import Iterator
from pathlib import Path

import anyio
import httpx
import numpy as np
import pytest
from live_clients import LiveClient
from real_helpers import Recording, word_error_rate
from real_weights import lacking
from running_server import Server
from websockets.asyncio.client import connect

from whisperlive_hybrid.backends.silero import SileroVad
from whisperlive_hybrid.media.reader import open_audio
from whisperlive_hybrid.speech.regions import FRAME, RegionFinder, VadOptions
from whisperlive_hybrid.types import SAMPLE_RATE, Samples

CLIPS = ("ls-1688-142285-0000", "ls-1998-15444-0000", "ls-2609-156975-0002", "jfk-mp3")
FIRST_HALF = "And so, my fellow Americans, ask not what your country can do for you,"
SENTENCE = f"{FIRST_HALF} ask what you can do for your country."


@pytest.fixture(scope="module")
def cases(speech_dir: Path) -> Path:
    """The directory of small inputs that failed once, beside the speech."""
    directory = speech_dir.parent / "cases"
    if not directory.is_dir():
        lacking("no failing cases beside the real speech")
    return directory


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    """A client of the HTTP server."""
    with httpx.Client(base_url=server.http_url, timeout=120) as client:
        yield client


def transcribed(http: httpx.Client, file: Path, **form: str) -> str:
    """Return the text of a file."""
    files = {"file": (file.name, file.read_bytes())}
    reply = http.post("/v1/audio/transcriptions", files=files, data=form)
    assert reply.status_code == 200, reply.text
    text: str = reply.json()["text"]
    return text


def samples_of(file: Path) -> Samples:
    """Return a whole file."""
    with file.open("rb") as media, open_audio(media) as audio:
        return np.concatenate(list(audio))


def test_the_default_track_of_a_film(http: httpx.Client, cases: Path) -> None:
    """Its first track is a French commentary, the second one is English and marked as default."""
    film = cases / "04-default-track-ignored" / "2tracks.mkv"
    assert word_error_rate([(SENTENCE, transcribed(http, film))]) < 0.1
    assert transcribed(http, film, audio_track="1") == transcribed(http, film)
    assert "fellow" not in transcribed(http, film, audio_track="0")


def test_inverted_stereo(http: httpx.Client, cases: Path) -> None:
    """The mix of its channels is silence; it ends in the middle of the sentence."""
    file = cases / "05-antiphase-stereo" / "antiphase.flac"
    assert "my fellow Americans" in transcribed(http, file, language="en")


@pytest.mark.parametrize(
    ("name", "said"), [("minus50dB.flac", SENTENCE), ("overdriven.flac", FIRST_HALF)]
)
def test_quiet_and_overdriven_speech(http: httpx.Client, cases: Path, name: str, said: str) -> None:
    """The voice filter, which is on by default, keeps all of it."""
    file = cases / "08-overdriven-or-quiet-speech-dropped" / name
    assert word_error_rate([(said, transcribed(http, file, language="en"))]) < 0.15


@pytest.mark.anyio
async def test_quiet_speech_of_a_live_stream(server: Server, cases: Path) -> None:
    """The level follows a stream as it comes, so it is read like the file."""
    file = cases / "08-overdriven-or-quiet-speech-dropped" / "minus50dB.flac"
    async with connect(server.live_url, max_size=None) as socket:
        client = LiveClient(socket)
        await client.greet(language="en", model="base")
        await client.next()
        await client.say(*np.array_split(samples_of(file), 20))
        await client.end()
        with anyio.fail_after(120):
            await client.rest()
    assert word_error_rate([(SENTENCE, client.text)]) < 0.2


def test_music_noise_and_silence_have_no_words(http: httpx.Client, speech_dir: Path) -> None:
    """As faster-whisper with its filter has none."""
    lines = (speech_dir / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row.get("ref") == "non-speech"]
    texts = {row["id"]: transcribed(http, speech_dir / row["file"]) for row in rows}
    assert len(texts) >= 7
    assert {name: text for name, text in texts.items() if text} == {}


def speech_in(samples: Samples) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return for each frame whether it lies in a region of speech."""
    stream = SileroVad().open()
    finder = RegionFinder(VadOptions(), 28 * SAMPLE_RATE)
    found = finder.push(stream.push(samples) + stream.flush()) + finder.flush(len(samples))
    marks = np.zeros(len(samples) // FRAME + 1, np.bool_)
    for region in found:
        marks[region.start // FRAME : region.end // FRAME] = True
    return marks


@pytest.mark.parametrize(("gain_db", "share"), [(-20, 0.98), (-40, 0.97), (-50, 0.95), (30, 0.95)])
def test_speech_is_found_at_any_level(
    recordings: dict[str, Recording], gain_db: int, share: float
) -> None:
    """Of the regions at the original level; before, it was 0.7 at -50 dB."""
    found = total = 0
    for name in CLIPS:
        samples = samples_of(recordings[name].file)
        original = speech_in(samples)
        changed = np.clip(samples * np.float32(10 ** (gain_db / 20)), -1, 1)
        found += int(np.count_nonzero(original & speech_in(changed)))
        total += int(np.count_nonzero(original))
    assert found >= share * total

"""What the reference server loses (protocol page, 3), each as a scenario that loses nothing here.

The demo model and Silero behind real sockets; every stream is sent as fast as the server takes it.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest
from live_clients import TIMEOUT_S, LiveClient, OpenLiveServer, open_live_server
from paths import CLIPS
from speech_clips import Clip, read_clips

from whisperlive_hybrid.backends.base import DetectLanguage, Encode, Encoded, Generate
from whisperlive_hybrid.backends.ctranslate2 import Ct2Backend
from whisperlive_hybrid.backends.fake import pause
from whisperlive_hybrid.backends.silero import SileroVad
from whisperlive_hybrid.models.files import demo_model
from whisperlive_hybrid.transcribe import FileRequest, Transcriber
from whisperlive_hybrid.types import DecodeOptions, Hypothesis, Language, Samples

pytestmark = pytest.mark.anyio

FRAME = 4096
"""Samples per frame of the Python client."""


@pytest.fixture(scope="module")
def spoken() -> dict[str, Clip]:
    """The clips by name."""
    directory = CLIPS
    return {Path(clip.file).stem: clip for clip in read_clips(directory)}


class DemoBackend(Ct2Backend):
    """The demo model on one thread."""

    def __init__(self) -> None:
        super().__init__(demo_model(), device="cpu", compute_type="int8", workers=1)


def demo_door(backend: Ct2Backend | None = None, **settings: Any) -> Any:  # noqa: ANN401 (a context)
    """Open a door with the demo model."""
    return open_live_server(backend or DemoBackend(), SileroVad(), **settings)


def frames(*pieces: Samples) -> list[Samples]:
    """One recording in the frames of the Python client."""
    whole = np.concatenate(pieces)
    return np.split(whole, range(FRAME, len(whole), FRAME))


def without_tail(clip: Clip) -> Samples:
    """The clip up to the end of its last word."""
    return clip.samples[: round(clip.words[-1][1] * 16_000)]


def plain(text: str) -> list[str]:
    """The words, without case and punctuation."""
    return ["".join(c for c in word if c.isalnum()) for word in text.lower().split()]


async def until_said(client: LiveClient, text: str) -> None:
    """Wait until this text is completed."""
    with anyio.fail_after(TIMEOUT_S):
        while plain(client.text) != plain(text):
            await client.next()


async def until_shown(client: LiveClient, text: str) -> None:
    """Wait until this text is on the screen, completed or not."""
    with anyio.fail_after(TIMEOUT_S):
        while True:
            segments = (await client.next()).get("segments", ())
            if plain("".join(segment["text"] for segment in segments)) == plain(text):
                return


async def test_1_tail_at_the_end(spoken: dict[str, Clip]) -> None:
    """1: what is not completed when END comes is completed before the close."""
    async with demo_door() as door:
        client = await door.transcribe(*frames(without_tail(spoken["en-1"])))
    assert plain(client.text) == plain(spoken["en-1"].text)
    assert all(segment["completed"] for segment in client.messages[-1]["segments"])


async def test_2_tail_of_less_than_a_second(spoken: dict[str, Clip]) -> None:
    """2: an utterance shorter than a second is read, behind another one and alone."""
    first, clip = spoken["en-0"], spoken["en-6"]
    short = clip.samples[: round(clip.words[1][1] * 16_000)]  # "The hat", 0.76 s
    assert len(short) < 16_000
    async with demo_door() as door:
        behind = await door.transcribe(*frames(first.samples, pause(1.0), short))
        alone = await door.transcribe(short)
    assert plain(behind.text)[: len(first.words)] == plain(first.text)
    assert len(plain(behind.text)) > len(first.words)
    assert alone.text


async def test_3_faster_than_real_time(spoken: dict[str, Clip]) -> None:
    """3: two minutes sent at once give the text of a file, all of it."""
    clips = [spoken[f"en-{n % 8}"] for n in range(48)]
    samples = np.concatenate([piece for clip in clips for piece in (clip.samples, pause(1.2))])
    async with demo_door() as door:
        client = await door.transcribe(samples)
        expected = await file_text(door, samples)
    assert client.text == expected
    assert plain(client.text) == [word for clip in clips for word in plain(clip.text)]


async def file_text(door: OpenLiveServer, samples: Samples) -> str:
    """What the file door would answer, segment by segment."""
    transcriber = Transcriber(door.engine, SileroVad())
    transcript = await transcriber.transcribe([samples], FileRequest(DecodeOptions(language="en")))
    return " ".join(segment.text.strip() for segment in transcript.segments)


class UnsureBackend(DemoBackend):
    """Never sure of a language."""

    def detect_language(self, batch: Sequence[DetectLanguage]) -> list[Language | Exception]:
        """Doubt."""
        sure = super().detect_language(batch)
        return [
            replace(each, probability=0.3) if isinstance(each, Language) else each for each in sure
        ]


@pytest.mark.parametrize("language", ["en", "de", "es"])
async def test_4_undecided_language(spoken: dict[str, Clip], language: str) -> None:
    """4: what is said before the language is sure is held and shown, not dropped."""
    clips = [spoken[f"{language}-{n}"] for n in range(3)]
    said = [piece for clip in clips for piece in (clip.samples, pause(1.2))]
    async with demo_door(UnsureBackend()) as door:
        client = await door.transcribe(*frames(*said), language=None)
    assert [each["language"] for each in client.messages if "language" in each] == [language]
    assert len(plain(client.text)) == sum(len(clip.words) for clip in clips)


async def test_5_onset_behind_silence(spoken: dict[str, Clip]) -> None:
    """5: the first word behind a long silence is whole, wherever it falls in a frame."""
    clip = spoken["en-3"]
    async with demo_door() as door:
        for shift in (0, 100, 300):
            lead = pause(3.0)[shift:]
            client = await door.transcribe(*frames(lead, clip.samples[3200:], pause(1.0)))
            assert plain(client.text) == plain(clip.text)


async def test_6_doubtful_end_holds_nothing_back(spoken: dict[str, Clip]) -> None:
    """6: noise behind a sentence does not hold the sentence back until the end of the stream."""
    clip, noise = spoken["en-4"], spoken["noise"].samples[:16_000]
    async with demo_door() as door, door.admitted(no_speech_thresh=0.45) as client:
        await client.say(*frames(clip.samples, pause(1.2), noise, pause(1.5)))
        await until_said(client, clip.text)


async def test_7_repeated_sentence(spoken: dict[str, Clip]) -> None:
    """7: a sentence that is said twice is there twice."""
    clip = spoken["en-7"]
    async with demo_door() as door:
        client = await door.transcribe(*frames(clip.samples, pause(1.2), clip.samples, pause(1.2)))
    assert plain(client.text) == 2 * plain(clip.text)
    assert all(segment["text"].startswith(" ") for segment in client.completed)


class StumblingBackend(DemoBackend):
    """Its first decode raises; it also notes how many there were."""

    n_decodes = 0

    def generate(self, batch: Sequence[Generate]) -> list[Hypothesis | Exception]:
        """Fail once."""
        self.n_decodes += 1
        if self.n_decodes == 1:
            raise RuntimeError("a decode failed")
        return super().generate(batch)


async def test_8_exception_in_a_decode(spoken: dict[str, Clip]) -> None:
    """8: a decode that raises costs neither the stream, nor its text, nor the next stream."""
    async with demo_door(StumblingBackend()) as door:
        for name in ("en-0", "en-1"):
            client = await door.transcribe(*frames(spoken[name].samples))
            assert plain(client.text) == plain(spoken[name].text)


class DeafenedBackend(DemoBackend):
    """Can't read a window in which a sample reaches full scale."""

    def encode(self, batch: Sequence[Encode]) -> list[Encoded | Exception]:
        """Fail on loud ones."""
        if any(work.window.samples.max() >= 1 for work in batch):
            raise RuntimeError("too loud")
        return super().encode(batch)


async def test_9_what_cannot_be_read_stays_alone(spoken: dict[str, Clip]) -> None:
    """9: an utterance that can't be read takes no neighbour along."""
    first, last = spoken["en-0"], spoken["en-2"]
    loud = spoken["en-1"].samples / spoken["en-1"].samples.max()
    said = (first.samples, pause(1.2), loud, pause(1.2), last.samples)
    async with demo_door(DeafenedBackend()) as door:
        client = await door.transcribe(*frames(*said))
    assert plain(client.text) == plain(first.text) + plain(last.text)


async def test_10_disconnect_flushes(spoken: dict[str, Clip]) -> None:
    """10: what was said before the connection time was up is completed before DISCONNECT."""
    clip = spoken["en-long-0"]
    async with demo_door() as door, door.admitted() as client:
        await client.say(*frames(without_tail(clip)))
        await until_shown(client, clip.text)
        (known,) = door.admission._clients
        known.until = known._receiving.deadline = anyio.current_time()
        messages = await client.rest()
    assert messages[-1]["message"] == "DISCONNECT"
    assert plain(client.text) == plain(clip.text)


async def test_11_speech_without_an_endpoint(spoken: dict[str, Clip]) -> None:
    """11: speech that goes on and on is completed in parts meanwhile, and is whole at the end."""
    clips = [spoken[f"en-{n % 8}"] for n in range(24)]
    samples = np.concatenate([without_tail(clip) for clip in clips])  # 0.3 s between sentences
    async with demo_door() as door, door.admitted() as client:
        await client.say(*frames(samples))
        while not client.completed:
            await client.next()
        at_first = len(client.completed)
        await client.end()
        await client.rest()
        expected = await file_text(door, samples)
    assert len(client.completed) > at_first
    assert client.text == expected
    # A cut between words that hardly pause may cost or double one.
    assert abs(len(plain(client.text)) - sum(len(clip.words) for clip in clips)) <= 1
    times = [float(segment[key]) for segment in client.completed for key in ("start", "end")]
    assert times == sorted(times)

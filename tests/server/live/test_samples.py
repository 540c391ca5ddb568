"""Samples that are no audio, over a real socket, with real speech around them."""

from collections.abc import Iterator

import numpy as np
import pytest
from live_clients import LiveClient, open_live_server
from paths import CLIPS
from speech_clips import Clip, read_clips

from whisperlive_hybrid.audio.pcm import LOUDEST_FLOAT
from whisperlive_hybrid.backends.ctranslate2 import Ct2Backend
from whisperlive_hybrid.backends.silero import SileroStream, SileroVad
from whisperlive_hybrid.models.files import demo_model
from whisperlive_hybrid.types import Samples

pytestmark = pytest.mark.anyio

FRAME = 4096
"""Samples per frame of the Python client."""


class WatchingVad(SileroVad):
    """Silero, which counts what it must never be given.

    A window of the model is a slice of what the voice detector has seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.n_impossible = 0

    def open(self) -> SileroStream:
        """Begin a stream that counts here."""
        stream = super().open()
        push = stream.push

        def watch(samples: Samples) -> list[float]:
            self.n_impossible += int((~(np.abs(samples) <= LOUDEST_FLOAT)).sum())
            return push(samples)

        stream.push = watch  # type: ignore[method-assign]  # one stream, of a test
        return stream


@pytest.fixture(scope="module")
def clip() -> Clip:
    """One sentence."""
    clips = read_clips(CLIPS)
    return next(clip for clip in clips if clip.language == "en")


def frames(samples: Samples) -> Iterator[Samples]:
    """Those of the Python client."""
    yield from np.split(samples, range(FRAME, len(samples), FRAME))


async def text(samples: Samples, **keys: object) -> str:
    """What the demo model makes of a live stream, by which no impossible sample has come."""
    vad = WatchingVad()
    backend = Ct2Backend(demo_model(), device="cpu", compute_type="int8", workers=1)
    async with open_live_server(backend, vad) as door:
        client: LiveClient = await door.transcribe(*frames(samples), **keys)
    assert vad.n_impossible == 0
    return client.text


@pytest.mark.parametrize("keys", [{}, {"audio_format": "float32"}], ids=["undeclared", "declared"])
@pytest.mark.parametrize(
    "values",
    [
        np.full(FRAME, np.nan),
        np.full(2 * FRAME, 1e30),
        np.resize([np.nan, np.inf, -np.inf, 1e30, -1e30, 0.1], 3 * FRAME),
    ],
    ids=["one frame of NaN", "two frames of 1e30", "three frames of all"],
)
async def test_broken_first_frames(clip: Clip, values: Samples, keys: dict[str, object]) -> None:
    """A stream that begins with them is read as float32, and none of its words is lost."""
    assert (
        await text(np.concatenate([values.astype(np.float32), clip.samples]), **keys) == clip.text
    )


async def test_broken_samples_in_the_middle(clip: Clip) -> None:
    """Single ones cost themselves, not the words that they are in."""
    broken = clip.samples.copy()
    broken[1_000::4_000] = np.nan
    broken[2_000::4_000] = 1e30
    broken[3_000::4_000] = -np.inf
    silenced = np.where(np.abs(broken) <= 1, broken, np.float32(0))
    assert await text(broken) == await text(silenced) == clip.text


async def test_undeclared_int16(clip: Clip) -> None:
    """It is still recognised, and heard from its first sample on."""
    pairs = (clip.samples * 32767).astype("<i2")
    pairs = np.append(pairs, np.zeros(len(pairs) % 2, "<i2"))
    assert await text(pairs.view("<f4")) == clip.text

"""Both ways over the fake backend, whose words are amplitudes."""

import wave
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import numpy as np
import pytest

from whisperlive_hybrid.backends.fake import EnergyVad, FakeBackend, pause, speak
from whisperlive_hybrid.bench.recordings import LabelledRecording
from whisperlive_hybrid.cli.evaluate.readers import FileReader, LiveReader, Reader
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.errors import BadAudio
from whisperlive_hybrid.live.session import LiveOptions
from whisperlive_hybrid.media.limits import MediaLimits
from whisperlive_hybrid.types import SAMPLE_RATE

pytestmark = pytest.mark.anyio

LIMITS = MediaLimits()


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    """An engine without a model."""
    async with Engine(FakeBackend()) as running:
        yield running


def readers(engine: Engine) -> list[Reader]:
    """Both ways."""
    live = LiveReader(engine, EnergyVad(), LIMITS, LiveOptions(), is_real_time=False)
    return [FileReader(engine, EnergyVad(), LIMITS), live]


def recording(file: Path) -> LabelledRecording:
    """Two utterances with a pause between them, 5.5 s."""
    samples = np.concatenate([speak([1, 2, 3, 4]), pause(1.5), speak([5, 6, 7]), pause(1.5)])
    with wave.open(str(file), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(SAMPLE_RATE)
        out.writeframes((samples * 32767).astype("<i2").tobytes())
    return LabelledRecording("r", file, "en", "read", "w1 w2 w3 w4 w5 w6 w7")


async def test_both_ways_read_all_of_a_recording(engine: Engine, tmp_path: Path) -> None:
    """With the times of their segments, the length of the audio, and what it cost."""
    given = recording(tmp_path / "r.wav")
    for reader in readers(engine):
        output = await reader.read(given)
        assert output.text == given.reference
        assert output.cues[0].start == pytest.approx(0, abs=0.3)
        assert output.cues[-1].end == pytest.approx(4.0, abs=0.6)
        assert output.audio_s == pytest.approx(5.52, abs=0.1)
        assert output.cpu_s > 0


async def test_what_is_no_audio_is_named(engine: Engine, tmp_path: Path) -> None:
    """One line says which of many recordings it was."""
    file = tmp_path / "notes.wav"
    file.write_text("this is no audio")
    for reader in readers(engine):
        with pytest.raises(BadAudio, match=r"notes\.wav: "):
            await reader.read(LabelledRecording("notes", file, "en", "read", "x"))


async def test_real_time_takes_as_long_as_the_recording(engine: Engine, tmp_path: Path) -> None:
    """So that a live stream gets the updates that a client would get."""
    given = recording(tmp_path / "r.wav")
    began = anyio.current_time()
    reader = LiveReader(engine, EnergyVad(), LIMITS, LiveOptions(), is_real_time=True)
    output = await reader.read(given)
    assert anyio.current_time() - began >= output.audio_s
    assert output.text == given.reference

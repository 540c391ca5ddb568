"""The position of sound on the clock of its file; gaps of the container become silence."""

import io
import tracemalloc
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_samples import Samples, encode, encode_parts, tone

from whisperlive_hybrid.errors import BadAudio
from whisperlive_hybrid.media.limits import MediaLimits
from whisperlive_hybrid.media.reader import open_audio
from whisperlive_hybrid.media.samples import place_frames

RATE = 48_000
BEEP = tone(RATE, 1.0)

FILMS = [
    ("mp4", "aac", "mpeg4"),
    ("mp4", "aac", "libx264"),
    ("webm", "libopus", "libvpx-vp9"),
    ("matroska", "aac", "libx264"),  # libav alone does not know when H.264 begins
    ("mpegts", "aac", "libx264"),
    ("mpeg", "mp2", "mpeg1video"),
]
RECORDINGS = [("ipod", "aac"), ("webm", "libopus"), ("ogg", "libopus"), ("mpegts", "aac")]


def read(media: bytes) -> Samples:
    """Return every sample of the file."""
    with open_audio(io.BytesIO(media)) as reader:
        return np.concatenate(list(reader))


def beeps(samples: Samples) -> list[float]:
    """Return the start of every sound after a quarter of a second of silence."""
    loud = np.flatnonzero(np.abs(samples) > 0.2) / 16_000
    return [float(at) for at in loud[np.diff(loud, prepend=-1.0) > 0.25]]


@pytest.mark.parametrize(("container", "codec", "video"), FILMS)
def test_sound_that_begins_after_the_picture(container: str, codec: str, video: str) -> None:
    """Two seconds of picture at 0; the sound begins at 3 s and has a hole from 4 s to 6 s."""
    media = encode_parts(container, codec, [(3.0, BEEP), (6.0, BEEP)], video=video)
    samples = read(media)
    assert beeps(samples) == pytest.approx([3.0, 6.0], abs=0.06)
    assert samples.size / 16_000 == pytest.approx(7.0, abs=0.06)


@pytest.mark.parametrize(("container", "codec"), RECORDINGS)
def test_a_hole_in_sound_alone(container: str, codec: str) -> None:
    """The gap of a muted microphone has its length."""
    samples = read(encode_parts(container, codec, [(0.0, BEEP), (3.0, BEEP)]))
    assert beeps(samples) == pytest.approx([0.0, 3.0], abs=0.06)
    assert samples.size / 16_000 == pytest.approx(4.0, abs=0.06)


@pytest.mark.parametrize(("container", "codec"), RECORDINGS)
def test_a_clock_need_not_begin_at_zero(container: str, codec: str) -> None:
    """Sound that is the first stream begins at 0, as in a recording of a broadcast."""
    samples = read(encode_parts(container, codec, [(3_000.0, BEEP)]))
    assert beeps(samples) == pytest.approx([0.0], abs=0.06)
    assert samples.size / 16_000 == pytest.approx(1.0, abs=0.06)


def test_a_numbering_need_not_begin_at_zero() -> None:
    """A FLAC whose first half was never received begins at its first frame."""
    media = encode("flac", "flac", samples=tone(RATE, 4.0))
    first, middle = (media.index(b"\xff\xf8", at) for at in (0, len(media) // 2))
    assert read(media[:first] + media[middle:]).size / 16_000 == pytest.approx(2.0, abs=0.5)


def test_many_holes_do_not_add_up() -> None:
    """Every sound is right to a millisecond: inserted silence is counted."""
    starts = [0.7 * n for n in range(40)]
    beep = tone(44_100, 0.3)
    media = encode_parts("matroska", "pcm_s16le", [(at, beep) for at in starts], rate=44_100)
    assert beeps(read(media)) == pytest.approx(starts, abs=0.003)


def test_little_is_no_hole() -> None:
    """A stamp that is 60 ms ahead changes no sample; the next 60 ms are a hole of 120 ms."""
    parts = [(0.0, BEEP), (1.06, BEEP), (2.12, BEEP)]
    assert read(encode_parts("matroska", "pcm_s16le", parts[:2])).size == 32_000
    assert read(encode_parts("matroska", "pcm_s16le", parts)).size == 48_000 + 16 * 120


@pytest.mark.parametrize(("container", "codec"), [("ogg", "libopus"), ("mpegts", "aac")])
def test_a_clock_that_is_set_back(container: str, codec: str) -> None:
    """Of two recordings in one file the second follows the first."""
    media = encode(container, codec)
    assert read(media + media).size == pytest.approx(2 * read(media).size, abs=800)


@pytest.mark.parametrize(
    ("container", "codec", "at"),
    [("matroska", "pcm_s16le", 100_000.0), ("ogg", "libopus", 100_000.0), ("mpegts", "aac", 300.0)],
)
def test_a_leap_that_is_not_believed(container: str, codec: str, at: float) -> None:
    """A day in a file, or minutes in a broadcast that was cut, are no hole."""
    samples = read(encode_parts(container, codec, [(0.0, BEEP), (at, BEEP)]))
    assert samples.size / 16_000 == pytest.approx(2.0, abs=0.06)


@pytest.fixture(scope="module")
def mute() -> bytes:
    """Return a small file with a hole of fifty minutes."""
    return encode_parts("matroska", "pcm_s16le", [(0.0, BEEP), (3_000.0, BEEP)])


def test_a_long_hole_comes_in_blocks(mute: bytes) -> None:
    """Fifty minutes of nothing, 192 MB of samples, never lie in memory together."""
    tracemalloc.start()
    with open_audio(io.BytesIO(mute)) as reader:
        longest = max(block.size for block in reader)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert reader.samples_read == 3_001 * 16_000
    assert longest <= 16_000
    assert most < 16_000_000


def test_a_hole_counts_against_the_limit(mute: bytes) -> None:
    """The longest allowed recording is as long as a player shows it."""
    limits = MediaLimits(max_duration_s=5.0)
    with open_audio(io.BytesIO(mute), limits) as reader, pytest.raises(BadAudio) as refusal:
        list(reader)
    assert refusal.value.code == "audio_too_long"
    assert reader.samples_read <= 6 * 16_000


@pytest.mark.parametrize(("container", "codec"), [*RECORDINGS, ("flac", "flac")])
def test_what_follows_damage_stays_in_its_place(container: str, codec: str) -> None:
    """Bytes that are lost in the middle move nothing behind them."""
    murmur = np.random.default_rng(0).normal(0, 0.02, 19 * RATE).astype(np.float32)
    sound = np.concatenate([murmur, BEEP])
    media = bytearray(encode(container, codec, samples=sound))
    middle = len(media) // 2
    media[middle : middle + 30_000] = bytes(30_000)
    samples = read(bytes(media))
    assert beeps(samples) == pytest.approx([19.0], abs=0.11)
    assert samples.size / 16_000 == pytest.approx(20.0, abs=0.11)


def test_late_stamps_are_not_believed() -> None:
    """Windows Media at 8 kHz stamps its first sample an eighth of a second late."""
    samples = read(encode("asf", "wmav2", rate=8_000, samples=tone(8_000, 2.0)))
    assert beeps(samples) == pytest.approx([0.0], abs=0.06)


class Stamps:
    """Frames of 20 ms with any time stamps, from a Matroska file that begins at 0."""

    def __init__(self) -> None:
        self._container = av.open(io.BytesIO(encode("matroska", "pcm_s16le")), "r")

    def runs(self, *stamps: int | None) -> list[int]:
        """Return the start of each frame's run in ms, for time stamps in ms."""
        frames = []
        for stamp in stamps:
            frame = av.AudioFrame("s16", "mono", 320)
            frame.sample_rate, frame.time_base, frame.pts = 16_000, Fraction(1, 1_000), stamp
            frames.append(frame)
        return [part.run // 16 for part in place_frames(self._container, frames)]


@pytest.fixture(scope="module")
def stamps() -> Stamps:
    """One container for all made-up frames."""
    return Stamps()


def test_only_a_stamp_that_is_ahead_begins_a_run(stamps: Stamps) -> None:
    """Missing, negative and past stamps, and those that leap too far, change nothing."""
    assert stamps.runs(0, 20, 40) == [0, 0, 0]
    assert stamps.runs(None, 20, None, 1_000, None, 1_040) == [0, 0, 0, 1_000, 1_000, 1_000]
    assert stamps.runs(-5_000, 500, 0, 540) == [0, 500, 500, 500]
    assert stamps.runs(0, 2**62, 40, -(2**62), 3_600_000) == [0] * 4 + [3_600_000]


@given(st.lists(st.none() | st.integers(-(2**62), 2**62) | st.integers(0, 10_000)))
def test_runs_follow_one_another(stamps: Stamps, times: list[int | None]) -> None:
    """With any stamps, no run begins before the samples so far, or more than an hour later."""
    came = last = 0
    for run in stamps.runs(*times):
        assert run == last or 100 < run - came <= 3_600_000
        last, came = run, max(run, came) + 20

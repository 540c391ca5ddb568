from itertools import pairwise

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperlive_hybrid.audio.pcm import (
    ENOUGH_EVIDENCE,
    LONGEST_DOUBT_BYTES,
    LOUDEST_FLOAT,
    UNDECIDED_BYTES,
    PcmFormat,
    PcmReader,
)
from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.types import Samples

FORMATS = st.sampled_from(PcmFormat)
RATES = [8_000, 11_025, 24_000, 44_100, 48_000]
CUTS = st.lists(st.integers(0, 400), max_size=12)


def read_all(reader: PcmReader, raw: bytes, cuts: list[int]) -> Samples:
    """Return all samples of `raw`, which is cut at `cuts`."""
    borders = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    pieces = [raw[a:b] for a, b in pairwise(borders)]
    return np.concatenate([*(reader.read(piece) for piece in pieces), reader.flush()])


@given(raw=st.binary(max_size=400), cuts=CUTS, declared=FORMATS)
def test_any_split_of_a_declared_stream_gives_the_same_samples(
    raw: bytes, cuts: list[int], declared: PcmFormat
) -> None:
    """Frames may end inside of samples without any effect."""
    split = read_all(PcmReader(declared), raw, cuts)
    whole = read_all(PcmReader(declared), raw, [])
    assert split.tolist() == whole.tolist()
    assert len(whole) == len(raw) // declared.width


@given(
    samples=st.lists(st.floats(-LOUDEST_FLOAT, LOUDEST_FLOAT, width=32), max_size=100), cuts=CUTS
)
def test_any_split_of_undeclared_float32_gives_the_same_samples(
    samples: list[float], cuts: list[int]
) -> None:
    """A valid float32 stream is detected as float32, with any cuts."""
    raw = np.array(samples, "<f4").tobytes()
    assert read_all(PcmReader(), raw, cuts).tolist() == samples


@given(samples=st.lists(st.integers(-32768, 32767), max_size=100), cuts=CUTS)
def test_int16_is_scaled_to_one(samples: list[int], cuts: list[int]) -> None:
    """Declared int16 arrives exactly, in [-1, 1)."""
    raw = np.array(samples, "<i2").tobytes()
    assert read_all(PcmReader(PcmFormat.INT16), raw, cuts).tolist() == [s / 32768 for s in samples]


def test_uint8_is_centred() -> None:
    """128 is silence; full scale is one."""
    samples = PcmReader(PcmFormat.UINT8).read(bytes([0, 128, 192]))
    assert samples.tolist() == [-1.0, 0.0, 0.5]


def test_what_is_not_a_number_is_silence() -> None:
    """NaN and infinities in a float32 stream become zero; other samples are unchanged."""
    raw = np.array([0.5, np.nan, np.inf, -np.inf, -0.25], "<f4").tobytes()
    assert PcmReader(PcmFormat.FLOAT32).read(raw).tolist() == [0.5, 0, 0, 0, -0.25]


@pytest.mark.parametrize("format_of_client", ["<i2", "<f4"])
def test_what_is_too_loud_for_float32_is_silence_and_doubted(format_of_client: str) -> None:
    """int16, or floats that nobody divided by 32768, declared as float32.

    The model's features do not overflow, and the log can say what is wrong.
    """
    tone = (9000 * np.sin(np.arange(16000) / 7)).astype(format_of_client)
    reader = PcmReader(PcmFormat.FLOAT32)
    samples = reader.read(tone.tobytes())
    assert np.abs(samples).max() <= LOUDEST_FLOAT
    assert reader.is_doubtful


def test_a_few_broken_values_are_no_reason_to_doubt() -> None:
    """A damaged stream has its declared format."""
    values = np.full(400, 0.1, "<f4")
    values[:3] = [np.nan, np.inf, 1e30]
    reader = PcmReader(PcmFormat.FLOAT32)
    assert reader.read(values.tobytes())[:4].tolist() == [0, 0, 0, np.float32(0.1)]
    assert not reader.is_doubtful


def noise(n: int) -> bytes:
    """Return quiet int16 room noise, as of a microphone."""
    return np.random.default_rng(7).integers(-40, 40, n).astype("<i2").tobytes()


def frames_of(raw: bytes, size: int = 16_384) -> list[bytes]:
    """Return the frames of a client."""
    return [raw[start : start + size] for start in range(0, len(raw), size)]


def heard(reader: PcmReader, frames: list[bytes]) -> Samples:
    """Return all samples of these frames, without an end of the stream."""
    return np.concatenate([reader.read(frame) for frame in frames])


@pytest.mark.parametrize("size", [2_048, 8_192, 16_384, 16_383])
def test_recognises_undeclared_int16(size: int) -> None:
    """An int16 stream without a declared format is decoded as int16 from its first sample."""
    reader, raw = PcmReader(), noise(16_384)
    samples = heard(reader, frames_of(raw, size))
    assert reader.format is PcmFormat.INT16
    assert samples.tolist() == (np.frombuffer(raw, "<i2") / 32768).tolist()[: len(samples)]
    assert len(samples) >= 16_383


def test_recognises_undeclared_int16_behind_digital_silence() -> None:
    """Leading zeros are held back, and none is lost once the format is detected."""
    reader = PcmReader()
    assert len(reader.read(bytes(UNDECIDED_BYTES // 2))) == 0
    samples = heard(reader, frames_of(noise(4096), 4096))
    assert reader.format is PcmFormat.INT16
    assert len(samples) == UNDECIDED_BYTES // 4 + 4096


def test_int16_is_not_believed_on_one_frame() -> None:
    """It is held back until there is a second one, or until the stream ends."""
    raw = noise(100_000)
    reader = PcmReader()
    assert len(reader.read(raw)) == 0
    assert len(reader.read(noise(800))) == 100_800
    assert reader.format is PcmFormat.INT16
    reader = PcmReader()
    reader.read(raw)
    assert reader.flush().tolist() == (np.frombuffer(raw, "<i2") / 32768).tolist()


def test_recognises_overdriven_int16() -> None:
    """Clipped noise has steps as random as broken float32; it is detected after a while."""
    raw = np.random.default_rng(5).choice([-32768, 32767], 200_000).astype("<i2").tobytes()
    reader = PcmReader()
    samples = heard(reader, frames_of(raw))
    assert reader.format is PcmFormat.INT16
    assert samples.tolist() == (np.frombuffer(raw, "<i2") / 32768).tolist()


def test_recognises_undeclared_float32() -> None:
    """25 ms of audible samples within full scale are enough for float32."""
    reader = PcmReader()
    reader.read(np.array([0.0, *[1e-3] * ENOUGH_EVIDENCE], "<f4").tobytes())
    assert reader.format is PcmFormat.FLOAT32


def test_silence_does_not_wait_for_ever() -> None:
    """A second of digital silence is returned, and the format stays open until there is sound."""
    reader = PcmReader()
    assert len(reader.read(bytes(UNDECIDED_BYTES))) == UNDECIDED_BYTES // 4
    assert reader.format is None
    heard(reader, frames_of(np.array([5, -3, 900, -700] * 1000, "<i2").tobytes(), 4000))
    assert reader.format is PcmFormat.INT16


def test_a_click_does_not_wait_for_ever() -> None:
    """Too little evidence is returned, too, after 2 s, and the format does not change."""
    reader = PcmReader()
    click = np.full(50, -1e30, "<f4") * np.linspace(1, 2, 50, dtype=np.float32)
    samples = heard(reader, [click.tobytes(), *frames_of(bytes(3 * LONGEST_DOUBT_BYTES))])
    assert reader.format is None
    assert len(samples) > LONGEST_DOUBT_BYTES // 4
    assert not samples.any()


def hum(n: int) -> Samples:
    """Return plausible float32 with different samples."""
    return np.random.default_rng(3).normal(0, 0.05, n).astype(np.float32)


BROKEN = {
    "nan": np.full(4096, np.nan),
    "negative nan": -np.full(4096, np.nan),
    "infinity": np.full(4096, np.inf),
    "1e30": np.full(4096, 1e30),
    "-1e30": np.full(4096, -1e30),
    "all kinds": np.resize([np.nan, np.inf, -np.inf, 1e30, -1e30, 3e38], 4096),
    "divided by nearly nothing": hum(4096) * 1e30,
    "half": np.where(np.arange(4096) % 2, hum(4096), -1e30),
}
"""First frames without numbers, or without audio."""


@pytest.mark.parametrize("n_frames", [1, 2, 5])
@pytest.mark.parametrize("values", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("declared", [None, PcmFormat.FLOAT32])
def test_broken_first_frames_cost_only_themselves(
    values: Samples, n_frames: int, declared: PcmFormat | None
) -> None:
    """After any first frames of a float32 client, the rest is decoded, at its position."""
    broken = np.tile(values.astype("<f4"), n_frames)
    sound = hum(4 * 16_000)
    reader = PcmReader(declared)
    frames = frames_of(broken.tobytes()) + frames_of(sound.astype("<f4").tobytes())
    samples = np.concatenate([heard(reader, frames), reader.flush()])
    assert reader.format is PcmFormat.FLOAT32
    mended = np.where(np.abs(broken) <= LOUDEST_FLOAT, broken, np.float32(0))
    assert samples.tolist() == [*mended.tolist(), *sound.tolist()]


def test_broken_frames_later_change_nothing() -> None:
    """A detected format applies to the rest of the stream."""
    for sound, found in ((hum(8192).tobytes(), PcmFormat.FLOAT32), (noise(8192), PcmFormat.INT16)):
        reader = PcmReader()
        heard(reader, frames_of(sound, 4096))
        assert reader.format is found
        heard(reader, [np.full(16_000, value, "<f4").tobytes() for value in (np.nan, 1e30, 0.1)])
        assert reader.format is found


@given(frames=st.lists(st.binary(max_size=3000), max_size=12), declared=st.none() | FORMATS)
def test_no_bytes_make_a_sample_that_is_no_audio(
    frames: list[bytes], declared: PcmFormat | None
) -> None:
    """Voice detection and features never get values that are not finite, or too loud."""
    reader = PcmReader(declared)
    samples = np.concatenate([*(reader.read(frame) for frame in frames), reader.flush()])
    assert (np.abs(samples) <= LOUDEST_FLOAT).all()
    assert samples.dtype == np.float32


@given(raw=st.binary(max_size=400), cuts=CUTS)
def test_no_undeclared_byte_is_lost(raw: bytes, cuts: list[int]) -> None:
    """Bytes that were held back are decoded in the detected format at the end."""
    reader = PcmReader()
    samples = read_all(reader, raw, cuts)
    assert reader.format is not None
    assert len(samples) == len(raw) // reader.format.width


@pytest.mark.parametrize("torn", [1, 2, 3])
def test_a_torn_last_sample_is_no_sample(torn: int) -> None:
    """Bytes of an incomplete sample are dropped at the end of the stream."""
    reader = PcmReader()
    assert len(reader.read(bytes(40 + torn))) == 0
    assert len(reader.flush()) == 10
    assert len(reader.flush()) == 0


def wav_of_codec(name: str, raw: bytes) -> Samples:
    """Decode bytes with ffmpeg's codec of a telephone encoding."""
    decoder = av.CodecContext.create(name, "r")
    assert isinstance(decoder, av.AudioCodecContext)
    decoder.sample_rate, decoder.layout = 8_000, "mono"
    frames = decoder.decode(av.Packet(raw))
    samples = np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames])
    return samples.astype(np.float32) / np.float32(32768)


@pytest.mark.parametrize(
    ("encoding", "codec"), [(PcmFormat.MULAW, "pcm_mulaw"), (PcmFormat.ALAW, "pcm_alaw")]
)
def test_telephone_encodings_are_those_of_the_standard(encoding: PcmFormat, codec: str) -> None:
    """Each of the 256 bytes is decoded to the same sample as by ffmpeg."""
    raw = bytes(range(256))
    assert PcmReader(encoding).read(raw).tolist() == wav_of_codec(codec, raw).tolist()


@pytest.mark.parametrize("rate", RATES)
def test_other_sample_rates_become_16_khz(rate: int) -> None:
    """A tone keeps its frequency, its loudness and its length."""
    seconds = np.arange(rate * 2) / rate
    tone = np.sin(2 * np.pi * 440 * seconds).astype("<f4")
    heard = read_all(PcmReader(PcmFormat.FLOAT32, rate), tone.tobytes(), [1, 4099, 40_000])
    expected = np.sin(2 * np.pi * 440 * np.arange(32_000) / 16_000)
    assert abs(len(heard) - 32_000) <= 1
    middle = slice(1_600, 30_400)  # the ends are those of a tone that begins and stops
    assert np.abs(heard[: len(expected)] - expected[: len(heard)])[middle].max() < 1e-3


@given(cuts=CUTS)
def test_blocks_do_not_show_after_resampling(cuts: list[int]) -> None:
    """The samples of a stream are the same for all sizes of messages."""
    raw = (np.random.default_rng(0).normal(0, 3000, 200)).astype("<i2").tobytes()
    whole = read_all(PcmReader(PcmFormat.INT16, 24_000), raw, [])
    assert read_all(PcmReader(PcmFormat.INT16, 24_000), raw, cuts).tolist() == whole.tolist()


@pytest.mark.parametrize("rate", [0, 7_999, 48_001, 192_000])
def test_a_rate_that_no_client_has_is_refused(rate: int) -> None:
    """With the rates that are allowed."""
    with pytest.raises(BadRequest, match="between 8000 and 48000"):
        PcmReader(PcmFormat.INT16, rate)

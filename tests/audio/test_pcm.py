from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperlive_hybrid.audio.pcm import LOUDEST_FLOAT, UNDECIDED_BYTES, PcmFormat, PcmReader
from whisperlive_hybrid.types import Samples

CUTS = st.lists(st.integers(0, 400), max_size=12)


def read_all(reader: PcmReader, raw: bytes, cuts: list[int]) -> Samples:
    """Everything that `reader` makes of `raw`, torn at `cuts`."""
    borders = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    pieces = [raw[a:b] for a, b in pairwise(borders)]
    return np.concatenate([*(reader.read(piece) for piece in pieces), reader.flush()])


@given(raw=st.binary(max_size=400), cuts=CUTS, declared=st.sampled_from(PcmFormat))
def test_any_split_of_a_declared_stream_gives_the_same_samples(
    raw: bytes, cuts: list[int], declared: PcmFormat
) -> None:
    """Frame borders may tear samples apart; they change nothing."""
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
    """A sane float32 stream stays float32 without being announced, wherever it is cut."""
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
    """NaN and infinities in a float32 stream become zero and harm no neighbour."""
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
    """A damaged stream is still what its client says."""
    values = np.full(400, 0.1, "<f4")
    values[:3] = [np.nan, np.inf, 1e30]
    reader = PcmReader(PcmFormat.FLOAT32)
    assert reader.read(values.tobytes())[:4].tolist() == [0, 0, 0, np.float32(0.1)]
    assert not reader.is_doubtful


def noise(n: int) -> bytes:
    """Quiet int16 room noise, as any microphone sends it."""
    return np.random.default_rng(7).integers(-40, 40, n).astype("<i2").tobytes()


def test_recognises_undeclared_int16() -> None:
    """A client that sends int16 unannounced is heard as int16 from its first sample on."""
    reader, raw = PcmReader(), noise(4096)
    samples = reader.read(raw)
    assert reader.format is PcmFormat.INT16
    assert samples.tolist() == (np.frombuffer(raw, "<i2") / 32768).tolist()


def test_recognises_undeclared_int16_behind_digital_silence() -> None:
    """Leading zeros say nothing: they wait, and none of them is lost once the format is known."""
    reader = PcmReader()
    assert len(reader.read(bytes(UNDECIDED_BYTES // 2))) == 0
    samples = reader.read(noise(4096))
    assert reader.format is PcmFormat.INT16
    assert len(samples) == UNDECIDED_BYTES // 4 + 4096


def test_recognises_undeclared_float32() -> None:
    """One audible sample within full scale settles for float32."""
    reader = PcmReader()
    reader.read(np.array([0.0, 1e-3], "<f4").tobytes())
    assert reader.format is PcmFormat.FLOAT32


def test_silence_does_not_wait_for_ever() -> None:
    """A second of digital silence is passed on, and the format stays open until there is sound."""
    reader = PcmReader()
    assert len(reader.read(bytes(UNDECIDED_BYTES))) == UNDECIDED_BYTES // 4
    assert reader.format is None
    reader.read(np.array([5, -3, 900, -700] * 100, "<i2").tobytes())
    assert reader.format is PcmFormat.INT16


def test_one_broken_value_does_not_make_a_float_stream_int16() -> None:
    """Sane float32 with a NaN in it is float32 with a NaN in it."""
    values = np.full(400, 0.1, "<f4")
    values[7] = np.nan
    reader = PcmReader()
    assert reader.read(values.tobytes())[7] == 0
    assert reader.format is PcmFormat.FLOAT32


@pytest.mark.parametrize("torn", [1, 2, 3])
def test_a_torn_last_sample_is_no_sample(torn: int) -> None:
    """Bytes that never became a sample are left out at the end of the stream."""
    reader = PcmReader()
    assert len(reader.read(bytes(40 + torn))) == 0
    assert len(reader.flush()) == 10
    assert len(reader.flush()) == 0

import io
import threading
from contextlib import suppress
from typing import BinaryIO

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_samples import (
    Samples,
    dominant_hz,
    encode,
    mov,
    pcm16,
    tone,
    wav,
    wav_extensible,
)

from whisperlive_hybrid.audio.pcm import LOUDEST_FLOAT
from whisperlive_hybrid.errors import BadAudio
from whisperlive_hybrid.media import source
from whisperlive_hybrid.media.limits import MediaLimits
from whisperlive_hybrid.media.reader import open_audio

CONTAINERS = [
    # container and codec as libav names them, then a video codec where there is one
    ("wav", "pcm_s16le", None),
    ("wav", "adpcm_ms", None),
    ("mp3", "libmp3lame", None),
    ("mp2", "mp2", None),  # what .mpga files hold
    ("flac", "flac", None),
    ("ipod", "aac", None),  # .m4a
    ("mov", "alac", None),
    ("mp4", "aac", None),
    ("mp4", "aac", "libx264"),
    ("mp4", "aac", "mpeg4"),
    ("ogg", "vorbis", None),
    ("ogg", "libopus", None),
    ("webm", "libopus", None),
    ("webm", "libopus", "libvpx-vp9"),
    ("matroska", "flac", None),
    ("mpeg", "mp2", None),
    ("mpeg", "mp2", "mpeg1video"),
    ("mpegts", "aac", None),
    ("adts", "aac", None),
    ("aiff", "pcm_s16be", None),
    ("caf", "pcm_s16le", None),
    ("w64", "pcm_s16le", None),
    ("avi", "libmp3lame", "mpeg4"),
    ("asf", "libmp3lame", None),
]


def read(media: bytes | BinaryIO, limits: MediaLimits | None = None) -> Samples:
    """Return every sample of the file."""
    file = io.BytesIO(media) if isinstance(media, bytes) else media
    with open_audio(file, limits or MediaLimits()) as reader:
        return np.concatenate(list(reader))


@pytest.mark.parametrize(("container", "codec", "video"), CONTAINERS)
def test_reads_container(container: str, codec: str, video: str | None) -> None:
    """Every container gives its sound at its pitch, at most two codec frames too long."""
    try:
        media = encode(container, codec, layout="stereo", video=video)
    except (av.FFmpegError, ValueError) as error:
        pytest.skip(f"the bundled libav cannot make {codec} in {container}: {error}")
    samples = read(media)
    assert 0 <= samples.size - 32_000 <= 1_600
    assert dominant_hz(samples) == pytest.approx(440, abs=1)
    assert np.abs(samples[8_000:24_000]).max() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("codec", ["s16le", "s24le", "s32le", "f32le", "f64le", "u8", "alaw"])
def test_reads_pcm(codec: str) -> None:
    """Every PCM encoding of WAV gives the samples that went in, to its own precision."""
    given = tone(16_000, 0.5)
    samples = read(encode("wav", f"pcm_{codec}", rate=16_000, samples=given))
    np.testing.assert_allclose(samples, given, atol=0.02 if codec in ("u8", "alaw") else 1e-4)


def test_reads_mulaw() -> None:
    """A telephone recording (8 kHz mu-law) comes out at 16 kHz."""
    samples = read(encode("wav", "pcm_mulaw", rate=8_000))
    assert samples.size == 32_000
    assert dominant_hz(samples) == pytest.approx(440, abs=1)


@pytest.mark.parametrize(("channels", "mask"), [(1, 0x4), (2, 0x3), (6, 0x3F), (4, 0)])
def test_reads_extensible_wav(channels: int, mask: int) -> None:
    """WAVE_FORMAT_EXTENSIBLE is read with a channel mask and without one."""
    given = tone(16_000, 0.5)
    pcm = pcm16(np.repeat(given, channels))
    samples = read(wav_extensible(pcm, rate=16_000, channels=channels, mask=mask))
    np.testing.assert_allclose(samples, given, atol=1e-3)


@pytest.mark.parametrize("channels", range(1, 9))
def test_one_voice_on_all_channels_keeps_its_loudness(channels: int) -> None:
    """Mixing averages: what is the same on every channel is the same after it."""
    given = tone(16_000, 0.5)
    samples = read(wav(pcm16(np.repeat(given, channels)), channels=channels))
    np.testing.assert_allclose(samples, given, atol=1e-3)


def test_a_name_means_nothing() -> None:
    """The bytes alone decide: an MP3 called after a playlist is an MP3."""

    class Named(io.BytesIO):
        name = "list.m3u8"

    media = encode("mp3", "libmp3lame")
    np.testing.assert_array_equal(read(Named(media)), read(media))


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 96_000, 384_000])
def test_duration_in_is_duration_out(rate: int) -> None:
    """No sample is lost or invented on the way to 16 kHz, to the nearest one."""
    samples = read(wav(pcm16(tone(rate, 1.2345)), rate=rate))
    assert abs(samples.size - 1.2345 * 16_000) <= 1


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
def test_the_tail_survives(rate: int) -> None:
    """A click 10 ms before the end stays there: the resampler is drained."""
    given = np.zeros(rate, np.float32)
    given[-rate // 100] = 0.9
    samples = read(wav(pcm16(given), rate=rate))
    assert samples.size - int(np.argmax(np.abs(samples))) == pytest.approx(160, abs=2)
    assert np.abs(samples).max() > 0.1


def test_the_decoder_is_drained() -> None:
    """A decoder that holds a frame back (WMA) gives it up at the end."""
    assert read(encode("asf", "wmav2")).size > 31_000


def test_blocks_are_short_and_counted() -> None:
    """Blocks hold at most a second, never nothing, and samples_read is their sum so far."""
    with open_audio(io.BytesIO(encode("flac", "flac"))) as reader:
        total = 0
        for block in reader.blocks():
            assert block.dtype == np.float32
            assert 0 < block.size <= 16_000
            total += block.size
            assert reader.samples_read == total
    assert total == 32_000


def test_the_claim_of_the_container_is_only_a_claim() -> None:
    """duration_s repeats the header, and what is decoded goes by the samples."""
    claims_too_much = wav(pcm16(tone(16_000, 1.0)), claimed_bytes=32_000 * 50)
    with open_audio(io.BytesIO(claims_too_much)) as reader:
        assert reader.duration_s is not None
        assert sum(block.size for block in reader) == 16_000


IMPOSSIBLE = [np.nan, np.inf, -np.inf, 1e30, -3e38, 8.01]


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_impossible_samples_become_silence(bits: int, channels: int) -> None:
    """Values that are not finite or impossibly loud become 0; others are not clipped."""
    given = tone(16_000, 0.5, amplitude=3.0)
    expected = given.copy()
    for place, value in enumerate(IMPOSSIBLE, 10):
        given[place * 100], expected[place * 100] = value, 0.0
    numbers = np.repeat(given, channels).astype(f"<f{bits // 8}")
    samples = read(wav(numbers.tobytes(), bits=bits, tag=3, channels=channels))
    np.testing.assert_allclose(samples, expected, atol=1e-6)


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
@pytest.mark.parametrize("value", IMPOSSIBLE)
def test_an_impossible_sample_costs_only_itself(rate: int, value: float) -> None:
    """It is muted before the resampler would spread it, so that the file is as if it were 0."""
    given, muted = tone(rate, 1.0), tone(rate, 1.0)
    given[rate // 3], muted[rate // 3] = value, 0.0
    samples, expected = (
        read(wav(values.astype("<f4").tobytes(), rate=rate, bits=32, tag=3))
        for values in (given, muted)
    )
    np.testing.assert_array_equal(samples, expected)


@given(numbers=st.binary(min_size=800, max_size=8_000), rate=st.sampled_from([16_000, 44_100]))
def test_no_file_of_floats_makes_a_sample_that_is_no_audio(numbers: bytes, rate: int) -> None:
    """Voice detection and features never see anything that is not finite, or absurdly loud."""
    media = wav(numbers[: len(numbers) & ~3], rate=rate, bits=32, tag=3)
    with suppress(BadAudio), open_audio(io.BytesIO(media)) as reader:
        for block in reader:
            assert (np.abs(block) <= LOUDEST_FLOAT).all()


def test_floats_in_the_scale_of_integers_are_refused() -> None:
    """All of them would be silence; the message says what is wrong."""
    with pytest.raises(BadAudio, match="must lie between -1 and 1") as refusal:
        read(wav((tone(16_000, 1.0) * 32_767).astype("<f4").tobytes(), bits=32, tag=3))
    assert (refusal.value.param, refusal.value.code) == ("file", "audio_unsupported")


def test_much_that_is_not_a_number_does_not_refuse_the_rest() -> None:
    """A program that divides by a silent peak writes seconds of NaN before the first word."""
    given = np.concatenate([np.full(48_000, np.nan, np.float32), tone(16_000, 1.0)])
    samples = read(wav(given.astype("<f4").tobytes(), bits=32, tag=3))
    assert not samples[:48_000].any()
    np.testing.assert_array_equal(samples[48_000:], given[48_000:])


def test_cover_art_changes_nothing() -> None:
    """A picture in the tag of an MP3 is a stream that is skipped."""
    plain = encode("mp3", "libmp3lame")
    picture = b"\0image/png\0\3\0" + b"\x89PNG\r\n\x1a\n" + bytes(5_000)
    frame = b"APIC" + len(picture).to_bytes(4, "big") + bytes(2) + picture
    size = len(frame)
    syncsafe = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    tagged = b"ID3\3\0\0" + syncsafe + frame + plain[plain.index(b"\xff\xfb") :]
    with av.open(io.BytesIO(tagged)) as container:
        assert container.streams.video
    assert abs(read(tagged).size - read(plain).size) <= 2_304


def test_video_is_never_decoded() -> None:
    """No video decoder runs, not even while libav probes: the pixel format stays unknown."""
    media = encode("mp4", "aac", video="mpeg4")
    with av.open(io.BytesIO(media)) as probed:
        assert probed.streams.video[0].codec_context.pix_fmt == "yuv420p"
    with open_audio(io.BytesIO(media)) as reader:
        assert reader._container.streams.video[0].codec_context.pix_fmt is None


def test_the_first_audio_stream_is_read() -> None:
    """Of several audio streams the first is the one."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as out:
        streams = [out.add_stream("pcm_s16le", rate=16_000, layout="mono") for _ in range(2)]
        for stream, level in zip(streams, (1_000, 2_000), strict=True):
            frame = av.AudioFrame.from_ndarray(np.full((1, 1_600), level, np.int16), "s16", "mono")
            frame.sample_rate, frame.pts = 16_000, 0
            out.mux([*stream.encode(frame), *stream.encode(None)])
    np.testing.assert_allclose(read(file), 1_000 / 32_768)


def test_damage_in_the_middle_costs_only_the_damage() -> None:
    """Packets that do not decode are left out, and the sound after them is there."""
    media = bytearray(encode("adts", "aac", samples=tone(48_000, 4.0)))
    middle = len(media) // 2
    media[middle : middle + 2_000] = bytes(2_000)
    samples = read(bytes(media))
    assert 2.5 * 16_000 < samples.size < 4.1 * 16_000
    assert dominant_hz(samples[-16_000:]) == pytest.approx(440, abs=1)


def test_undecodable_packets_are_skipped() -> None:
    """A packet whose decoder reports an error does not end the file."""
    plain = encode("matroska", "flac", samples=tone(48_000, 2.0))
    with av.open(io.BytesIO(plain), "r") as container:
        packets = [bytes(packet) for packet in container.demux(audio=0) if packet.size]
    broken = plain.replace(packets[5], bytes(len(packets[5])))
    assert broken != plain
    lost = read(plain).size - read(broken).size
    assert lost == pytest.approx(4_608 / 3, abs=64)


@pytest.mark.parametrize(("container", "codec"), [("wav", "pcm_s16le"), ("mp3", "libmp3lame")])
def test_a_truncated_file_gives_what_it_has(container: str, codec: str) -> None:
    """Half an upload gives about half the sound."""
    media = encode(container, codec)
    assert read(media[: len(media) // 2]).size == pytest.approx(16_000, abs=1_600)


def test_the_shape_may_change_on_the_way() -> None:
    """If rate and channels change in mid-stream, the parts are resampled separately."""
    media = encode("adts", "aac", rate=44_100, layout="stereo")
    media += encode("adts", "aac", rate=22_050)
    samples = read(media)
    assert samples.size == pytest.approx(64_000, abs=3_200)
    assert dominant_hz(samples[:30_000]) == pytest.approx(440, abs=1)
    assert dominant_hz(samples[-30_000:]) == pytest.approx(440, abs=1)


def test_a_change_to_a_refused_shape_is_refused() -> None:
    """The limits hold for every frame and not only for the header."""
    media = encode("adts", "aac", rate=22_050) + encode("adts", "aac", rate=48_000)
    with pytest.raises(BadAudio, match="48000 Hz; accepted are 4000 to 44100 Hz"):
        read(media, MediaLimits(max_sample_rate=44_100))


def test_exactly_the_limit_is_not_too_long() -> None:
    """The longest allowed audio passes, and one sample more is refused by name of the limit."""
    limits = MediaLimits(max_duration_s=1.5)
    assert read(wav(bytes(48_000)), limits).size == 24_000
    with pytest.raises(BadAudio, match=r"longer than the limit of 1\.5 seconds") as refusal:
        read(wav(bytes(48_002)), limits)
    assert (refusal.value.param, refusal.value.code) == ("file", "audio_too_long")


class Clock:
    """A clock that advances only by calls."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        """Stand in for time.monotonic."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Put a still clock under the decoding budget."""
    clock = Clock()
    monkeypatch.setattr(source, "time", clock)
    return clock


def test_the_consumer_may_take_its_time(clock: Clock) -> None:
    """Time between two blocks is not decoding time."""
    with open_audio(io.BytesIO(wav(bytes(160_000))), MediaLimits(max_decode_s=10)) as reader:
        for _ in reader:
            clock.now += 1_000
    assert reader.samples_read == 80_000


def test_work_that_takes_too_long_is_refused(clock: Clock) -> None:
    """Decoding time is bounded, reading included, and the limit is named."""

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            clock.now += 3
            return super().read(size)

    media = wav(bytes(400_000))
    assert read(Slow(media), MediaLimits(max_decode_s=None)).size == 200_000
    with pytest.raises(BadAudio, match="within 10 seconds") as refusal:
        read(Slow(media), MediaLimits(max_decode_s=10))
    assert refusal.value.code == "audio_decode_timeout"


class Failing(io.BytesIO):
    """A file whose disk gives up at the given read."""

    def __init__(self, media: bytes, reads: int) -> None:
        super().__init__(media)
        self.reads = reads

    def read(self, size: int | None = -1) -> bytes:
        """Read until there is nothing left of the disk."""
        self.reads -= 1
        if self.reads < 0:
            raise OSError("the disk is gone")
        return super().read(size)


@pytest.mark.parametrize("reads", range(5))
def test_a_failing_file_is_not_bad_audio(reads: int, capfd: pytest.CaptureFixture[str]) -> None:
    """The file's own exception arrives, early or late, and is not taken for the end."""
    with pytest.raises(OSError, match="the disk is gone"):
        read(Failing(wav(bytes(400_000)), reads))
    assert capfd.readouterr().err == ""


def test_a_failing_seek_is_not_bad_audio() -> None:
    """An error of `seek` is passed on too."""

    class Stuck(io.BytesIO):
        def seek(self, offset: int, whence: int = 0) -> int:
            if offset > 0:
                raise OSError("cannot go there")
            return super().seek(offset, whence)

    with pytest.raises(OSError, match="cannot go there"):
        read(Stuck(encode("mp4", "aac", samples=tone(48_000, 20.0))))


def test_more_bytes_than_asked_for_never_reach_libav() -> None:
    """PyAV copies what a file returns without a look at its length, so the length is cut."""

    class Generous(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read() if size else b""

    assert len(source.MediaSource(Generous(bytes(100)), None, None).read(10)) == 10


def test_reads_from_the_beginning_and_leaves_the_file_open() -> None:
    """The file is read whole wherever it stands, and stays the caller's."""
    file = io.BytesIO(wav(bytes(32_000)))
    file.seek(0, io.SEEK_END)
    assert read(file).size == 16_000
    assert not file.closed


def test_reads_a_stream_that_cannot_seek() -> None:
    """A pipe is enough for formats that need no look ahead."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, _offset: int, _whence: int = 0) -> int:
            raise AssertionError("asked a pipe to seek")

    assert read(Pipe(wav(bytes(32_000)))).size == 16_000
    with pytest.raises(BadAudio, match="empty"):
        read(Pipe(b""))


def test_reading_after_close_ends() -> None:
    """Closing in mid-file ends the loop in peace, and closing twice is closing once."""
    reader = open_audio(io.BytesIO(wav(bytes(160_000))))
    blocks = reader.blocks()
    next(blocks)
    reader.close()
    reader.close()
    assert list(blocks) == []


def test_another_thread_may_close() -> None:
    """close() waits for the block in work: libav's memory is not freed under its feet."""
    reading, closing = threading.Event(), threading.Event()

    class Held(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 100_000 and not reading.is_set():
                reading.set()
                assert closing.wait(10)
            return super().read(size)

    reader = open_audio(Held(wav(bytes(400_000))))
    consumer = threading.Thread(target=lambda: list(reader))
    consumer.start()
    assert reading.wait(10)
    closer = threading.Thread(target=reader.close)
    closer.start()
    assert closer.is_alive()
    closing.set()
    closer.join(10)
    consumer.join(10)
    assert not consumer.is_alive()
    assert 0 < reader.samples_read <= 200_000


def test_reads_a_plain_mov() -> None:
    """The MOV that the hostile tests bend is good when left alone."""
    given = tone(16_000, 1.0)
    np.testing.assert_allclose(read(mov(pcm16(given))), given, atol=1e-3)

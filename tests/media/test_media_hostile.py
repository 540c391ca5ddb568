"""Hostile files; for some, a test also shows that libav without protection is attacked."""

import io
import struct
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from media_samples import Samples, box, encode, mov, pcm16, tone, wav

from whisperlive_hybrid.errors import BadAudio
from whisperlive_hybrid.media.limits import MediaLimits
from whisperlive_hybrid.media.reader import open_audio

pytestmark = pytest.mark.timeout(60)

UNDECODABLE = "The audio file could not be decoded or its format is not supported."
SHORT = MediaLimits(max_duration_s=5.0, max_decode_s=20.0)


def read(media: bytes) -> Samples:
    """Return every sample of the file, at most SHORT of them."""
    with open_audio(io.BytesIO(media), SHORT) as reader:
        return np.concatenate(list(reader))


class Witness:
    """Notes what Python opens, files and sockets alike, inside a `with`."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._watching = False

    def __enter__(self) -> None:
        self.seen.clear()
        self._watching = True

    def __exit__(self, *_error: object) -> None:
        self._watching = False

    def note(self, event: str, args: tuple[object, ...]) -> None:
        """Serve as an audit hook."""
        if self._watching and (event == "open" or event.startswith("socket.")):
            self.seen.append(f"{event} {args[:1]}")


@pytest.fixture(scope="session")
def witness() -> Witness:
    """Install the one hook of the session: an audit hook cannot be taken out again."""
    witness = Witness()
    sys.addaudithook(witness.note)
    return witness


@pytest.fixture(autouse=True)
def _quiet(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Make libav print nothing."""
    yield
    assert capfd.readouterr().err == ""


@pytest.fixture
def sentinel(tmp_path: Path) -> Path:
    """Put a readable local recording there whose sound must not come out."""
    path = tmp_path / "private.ts"
    path.write_bytes(encode("mpegts", "aac", samples=tone(48_000, 1.0)))
    return path


def playlist(path: Path) -> bytes:
    """Return an HLS playlist whose one segment is this file."""
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\n{path}\n#EXT-X-ENDLIST\n".encode()


def ffconcat(path: Path) -> bytes:
    """Return a script for libav's concat demuxer."""
    return f"ffconcat version 1.0\nfile '{path}'\n".encode()


def dash(path: Path) -> bytes:
    """Return a DASH manifest whose base is this file."""
    return f"""<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"
 profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet mimeType="audio/wav">
<Representation id="0"><BaseURL>file://{path}</BaseURL></Representation></AdaptationSet></Period>
</MPD>""".encode()


def alias(path: Path) -> bytes:
    """Return a MOV alias, the reference to samples in another file, by absolute path."""
    name = str(path).encode()
    name += bytes(len(name) % 2)
    record = (
        bytes(10) + b"\4disk" + bytes(23) + bytes(12) + b"\x0bprivate.raw" + bytes(52) + bytes(16)
    )
    record += struct.pack(">HH", 1, 1) + bytes(16)
    record += struct.pack(">hh", 2, len(name)) + name + struct.pack(">hh", -1, 0)
    return box(b"alis", bytes(4), record + bytes(max(0, 160 - len(record))))


@pytest.mark.parametrize("make", [playlist, ffconcat, dash])
def test_a_list_of_files_is_not_audio(
    make: "type[bytes]", sentinel: Path, witness: Witness
) -> None:
    """A file that names other files is refused, with a message that names none."""
    media = make(sentinel)
    with witness, pytest.raises(BadAudio) as refusal:
        read(media)
    assert refusal.value.message == UNDECODABLE
    assert witness.seen == []


def test_the_sentinel_would_be_decoded(sentinel: Path, tmp_path: Path) -> None:
    """The playlist is a live threat: libav follows it when given a path."""
    path = tmp_path / "list.m3u8"
    path.write_bytes(playlist(sentinel))
    with av.open(str(path), "r") as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) >= 48_000


def test_a_mov_may_not_refer_to_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, witness: Witness
) -> None:
    """Samples in another file are not read; libav could read them."""
    private = tmp_path / "private.raw"
    private.write_bytes(pcm16(tone(16_000, 1.5)))
    monkeypatch.chdir(tmp_path)  # where libav looks for it
    media = mov(bytes(32_000), reference=alias(private))
    with av.open(io.BytesIO(media), "r", options={"enable_drefs": "1"}) as container:
        blocks = [frame.to_ndarray() for frame in container.decode(audio=0)]
        assert max(int(np.abs(block).max()) for block in blocks) > 10_000
    with witness, pytest.raises(BadAudio, match=UNDECODABLE):
        read(media)
    assert witness.seen == []


def test_a_session_description_binds_no_port(witness: Witness) -> None:
    """SDP is refused before its header is read; unguarded it listens and blocks for 20 s."""
    sdp = (
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        b"m=audio 45678 RTP/AVP 0\na=rtpmap:0 PCMU/8000\n"
    )
    started = time.monotonic()
    with witness, pytest.raises(BadAudio, match=UNDECODABLE):
        read(sdp)
    assert time.monotonic() - started < 15
    assert witness.seen == []


NOT_AUDIO = {
    "text": b"Dear Sir or Madam, please find attached.\n" * 50,
    "svg": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0"/></svg>',
    "html": b"<!doctype html><title>404</title><p>Not found",
    "playlist of nothing": b"#EXTM3U\n#EXT-X-ENDLIST\n",
    "zeros": bytes(100_000),
    "png": b"\x89PNG\r\n\x1a\n" + bytes(1_000),
    "zero channels": wav(bytes(32_000), channels=0),
    "no samples": wav(b""),
    "riff alone": b"RIFF\xff\xff\xff\xffWAVE",
    "huge tag": b"ID3\4\0\0\x7f\x7f\x7f\x7fTIT2\x7f\x7f\x7f\x00" + bytes(100_000),
    "flac without frames": b"fLaC\x80\0\0\x22" + bytes(34),
}


@pytest.mark.parametrize("media", NOT_AUDIO.values(), ids=NOT_AUDIO)
def test_what_is_not_audio_is_refused(media: bytes) -> None:
    """One clear refusal that begins with OpenAI's words, about the field `file`."""
    with pytest.raises(BadAudio) as refusal:
        read(media)
    assert refusal.value.message.startswith(UNDECODABLE)
    assert refusal.value.param == "file"


def test_an_empty_file_is_named_so() -> None:
    """Nothing at all has its own words."""
    with pytest.raises(BadAudio, match="The audio file is empty") as refusal:
        read(b"")
    assert refusal.value.param == "file"


def test_a_film_without_sound_is_named_so() -> None:
    """A file of video alone has no audio stream."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        picture = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), "rgb24")
        out.mux([*stream.encode(picture), *stream.encode(None)])
    with pytest.raises(BadAudio, match="no audio stream"):
        read(file.getvalue())


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ({"rate": 1}, "1 Hz; accepted are 4000 to 384000 Hz"),
        ({"rate": 2_000_000_000}, "2000000000 Hz; accepted are 4000 to 384000 Hz"),
        ({"channels": 255}, "255 channels; accepted are 1 to 8"),
        ({"channels": 9}, "9 channels; accepted are 1 to 8"),
    ],
)
def test_absurd_shapes_are_refused_before_decoding(shape: dict[str, int], words: str) -> None:
    """Rates and channel counts beyond the limits are refused before a sample is decoded."""
    media = wav(bytes(7_000), **shape)
    with pytest.raises(BadAudio, match=words) as refusal:
        open_audio(io.BytesIO(media))
    assert refusal.value.code == "audio_unsupported"


@pytest.mark.parametrize("claim", [0xFFFFFFF0, 0xFFFFFFFF])
def test_a_wav_may_claim_what_it_likes(claim: int) -> None:
    """Four claimed gigabytes are as long as their bytes."""
    assert read(wav(bytes(32_000), claimed_bytes=claim)).size == 16_000


def test_a_codec_outside_the_list_is_refused() -> None:
    """The list of decoders holds for audio too: an accepted container is not enough."""
    media = encode("matroska", "tta", rate=16_000)
    with av.open(io.BytesIO(media)) as container:
        assert container.streams.audio[0].codec_context.name == "tta"
    with pytest.raises(BadAudio, match=UNDECODABLE):
        read(media)


def resident_bytes() -> int:
    """Return the memory of this process (Linux)."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("no /proc/self/statm here")
    return int(statm.read_text().split()[1]) * 4_096


def peak_bytes() -> int:
    """Return the most memory that this process ever had (Linux)."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("no /proc/self/status here")
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1_024


@pytest.fixture(scope="module")
def silence() -> bytes:
    """Return half an hour of digital silence as FLAC: 115 MB of samples in a fraction of one."""
    file = io.BytesIO()
    with av.open(file, "w", format="flac") as out:
        stream = out.add_stream("flac", rate=16_000, layout="mono")
        for second in range(1_800):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 16_000), np.int16), "s16", "mono")
            frame.sample_rate, frame.pts = 16_000, second * 16_000
            frame.time_base = Fraction(1, 16_000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file.getvalue()


def test_memory_does_not_grow_with_the_length(silence: bytes) -> None:
    """Half an hour read block by block needs a fraction of its samples' 115 MB."""
    assert len(silence) < 1_000_000
    with open_audio(io.BytesIO(silence)) as reader:
        before = resident_bytes()
        most = max(resident_bytes() for _ in reader) - before
    assert reader.samples_read == 1_800 * 16_000
    assert most < 32_000_000


def test_a_bomb_of_silence_stops_at_the_limit(silence: bytes) -> None:
    """Small files of long silence are refused when the limit is reached, not when they end."""
    with open_audio(io.BytesIO(silence), SHORT) as reader, pytest.raises(BadAudio) as refusal:
        list(reader)
    assert refusal.value.code == "audio_too_long"
    assert reader.samples_read <= 6 * 16_000


def test_an_index_of_lies_costs_little() -> None:
    """80 bytes of MOV table that claim 480 MB of index are refused at no cost.

    Ten chunks of two billion samples: without the cap libav fills the index at once.
    """
    media = mov(bytes(32_000), samples_per_chunk=2_000_000_000, chunks=10)
    before = peak_bytes()
    with pytest.raises(BadAudio, match=UNDECODABLE):
        read(media)
    assert peak_bytes() - before < 100_000_000


def test_a_thousand_tracks_are_too_many() -> None:
    """Every track takes memory before a sample is read, so their number is limited."""
    assert read(mov(bytes(32_000), tracks=3)).size == 16_000
    with pytest.raises(BadAudio, match=UNDECODABLE):
        read(mov(bytes(32_000), tracks=1_000))


class Endless(io.RawIOBase):
    """A stream of a good second of audio, then of packets that hold none, without end."""

    def __init__(self, audio: bytes, filler: bytes) -> None:
        self._rest = audio
        self._filler = filler * 200

    def readable(self) -> bool:
        """It can be read, and not sought in."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Never come to an end."""
        while len(self._rest) < size:
            self._rest += self._filler
        given, self._rest = self._rest[:size], self._rest[size:]
        return given


def test_a_file_without_an_end_or_a_sound_is_given_up() -> None:
    """Packets without audio would be read for ten minutes; memory does not grow."""
    filler = b"G\x1f\xff\x10" + b"\xff" * 184  # a null packet of MPEG-TS
    good = encode("mpegts", "aac", samples=tone(48_000, 1.0))
    limits = MediaLimits(max_silent_s=0.3, max_decode_s=50.0)
    for audio, audio_s in ((good, 0.5), (b"", 0.0)):
        before, n_samples = resident_bytes(), 0
        with pytest.raises(BadAudio, match=r"No audio was found in 0\.3 seconds") as refusal:  # noqa: PT012, SIM117 (the loop counts what came before)
            with open_audio(Endless(audio, filler), limits) as reader:  # type: ignore[arg-type]  # it is read only
                for block in reader:
                    n_samples += block.size
        assert refusal.value.code == "audio_decode_timeout"
        assert n_samples >= audio_s * 16_000
        assert resident_bytes() - before < 32_000_000


def flac(block: int, rate: int, channels: int, bits: int) -> bytes:
    """The beginning of a FLAC file that claims this shape, and noise behind it."""
    shape = (rate << 44) | ((channels - 1) << 41) | ((bits - 1) << 36)
    info = struct.pack(">HH", block, block) + bytes(6) + struct.pack(">Q", shape) + bytes(16)
    head = bytes([0xFF, 0xF8, 0x70 | 0xC, (channels - 1) << 4 & 0xF0 | 0xE, 0])
    return b"fLaC\x80\0\0\x22" + info + (head + bytes(range(256)) * 4) * 50


def ogg(payload: bytes, *, granule: int, segments: int = 255) -> bytes:
    """One page of Ogg with this first packet, which claims to end at sample `granule`."""
    sizes = bytes([255] * (segments - 1) + [len(payload) % 255])
    return (
        b"OggS\0\2" + struct.pack("<qIII", granule, 1, 0, 0) + bytes([segments]) + sizes + payload
    )


OPUS = b"OpusHead\1\xff" + struct.pack("<HIhB", 0xFFFF, 0xFFFFFFFF, -1, 255) + bytes(range(255))
VORBIS = b"\1vorbis" + struct.pack("<IBIiiiBB", 0, 255, 0xFFFFFFFF, -1, -1, -1, 0xFF, 1)

HOSTILE_HEADERS = {
    "wav with a block of 64 KB": wav(bytes(200_000)).replace(
        struct.pack("<HH", 2, 16), struct.pack("<HH", 65_535, 16), 1
    ),
    "wav with a block of nothing": wav(bytes(200_000)).replace(
        struct.pack("<HH", 2, 16), struct.pack("<HH", 0, 0), 1
    ),
    "wav of 65535 channels": wav(bytes(200_000), channels=65_535, bits=8),
    "wav of 65535 bits": wav(bytes(200_000), bits=65_528),
    "adpcm with a block of 64 KB": wav(bytes(200_000), tag=2, bits=4, rate=384_000),
    "flac of the largest blocks": flac(65_535, 384_000, 8, 32),
    "flac of blocks of one": flac(1, 4_000, 8, 32),
    "flac at 655 kHz": flac(4096, 655_350, 2, 16),
    "opus of 255 channels": ogg(OPUS, granule=2**62),
    "vorbis of 255 channels": ogg(VORBIS, granule=-(2**62)) * 50,
}


@pytest.mark.parametrize("media", HOSTILE_HEADERS.values(), ids=HOSTILE_HEADERS)
def test_a_header_of_lies_costs_little(media: bytes) -> None:
    """Any claim gives samples or an error, soon and in little memory."""
    before, started = peak_bytes(), time.thread_time()
    decodes_or_refuses(media)
    assert time.thread_time() - started < 5
    assert peak_bytes() - before < 100_000_000


def decodes_or_refuses(media: bytes) -> None:
    """Assert the law of this module: bounded finite samples, or BadAudio and no other error."""
    try:
        samples = read(media)
    except BadAudio:
        return
    assert np.isfinite(samples).all()
    assert 0 < samples.size <= SHORT.max_duration_s * 16_000


MAGICS = [b"", b"RIFF\0\0\0\0WAVEfmt ", b"fLaC\0\0\0\x22", b"OggS\0\2", b"ID3\3\0\0\0\0\0\x20"]
MAGICS += [b"\xff\xfb\x90\0", b"\xff\xf1\x50\x80", b"\x1aE\xdf\xa3", b"\0\0\0\x14ftypisom"]
MAGICS += [b"FORM\0\0\0\0AIFFCOMM", b"caff\0\1\0\0desc", b"\0\0\1\xba", b"G" + bytes(187)]

quick = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))


@quick
@given(magic=st.sampled_from(MAGICS), rest=st.binary(max_size=2_000))
def test_noise(magic: bytes, rest: bytes) -> None:
    """Any bytes, also behind a magic number, give samples or BadAudio and nothing else."""
    decodes_or_refuses(magic + rest)


@pytest.fixture(scope="module")
def originals() -> list[bytes]:
    """Return one second of audio in every kind of container."""
    kinds = [("wav", "pcm_s16le"), ("mp3", "libmp3lame"), ("flac", "flac"), ("ogg", "libopus")]
    kinds += [("mp4", "aac"), ("mov", "alac"), ("webm", "libopus"), ("mpeg", "mp2")]
    kinds += [("mpegts", "aac"), ("aiff", "pcm_s16be"), ("avi", "libmp3lame"), ("adts", "aac")]
    return [encode(*kind, samples=tone(48_000, 1.0)) for kind in kinds]


@quick
@given(
    which=st.integers(0, 11),
    wounds=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), min_size=1),
    in_header=st.booleans(),
    cut=st.floats(0.05, 1),
)
def test_damaged_files(
    originals: list[bytes],
    which: int,
    wounds: list[tuple[float, bytes]],
    in_header: bool,
    cut: float,
) -> None:
    """Good files with bytes overwritten and the end cut off give samples or BadAudio."""
    media = bytearray(originals[which])
    reach = min(800, len(media)) if in_header else len(media)
    for where, wound in wounds:
        place = int(where * (reach - 1))
        media[place : place + len(wound)] = wound
    decodes_or_refuses(bytes(media[: int(cut * len(media))]))

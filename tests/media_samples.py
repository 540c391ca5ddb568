"""Media files for the tests of `media`, synthesised: no file of this repository is audio."""

import io
import struct
from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.stream import Disposition

TONE_HZ = 440.0
PITCHES = (300.0, 500.0, 700.0)
Samples = npt.NDArray[np.float32]


def tone(rate: int, seconds: float, amplitude: float = 0.5) -> Samples:
    """Return a (n,) sine of TONE_HZ."""
    t = np.arange(round(rate * seconds)) / rate
    return (amplitude * np.sin(2 * np.pi * TONE_HZ * t)).astype(np.float32)


def dominant_hz(samples: Samples, rate: int = 16_000) -> float:
    """Return the frequency with most energy."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(samples.size)))
    return float(np.argmax(spectrum) * rate / samples.size)


def encode(
    container: str,
    codec: str,
    *,
    rate: int = 48_000,
    layout: str = "mono",
    samples: Samples | None = None,
    video: str | None = None,
) -> bytes:
    """Encode mono samples (two seconds of tone unless given) on every channel of `layout`."""
    given = tone(rate, 2.0) if samples is None else samples
    return encode_parts(container, codec, [(0.0, given)], rate=rate, layout=layout, video=video)


def encode_parts(
    container: str,
    codec: str,
    parts: list[tuple[float, Samples]],
    *,
    rate: int = 48_000,
    layout: str = "mono",
    video: str | None = None,
) -> bytes:
    """Encode mono samples, each part at its time in seconds, with gaps between them."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate)
        assert isinstance(stream, AudioStream)
        stream.layout = layout
        if codec.startswith("wma"):
            stream.bit_rate = 96_000  # the others have a default
        stream.codec_context.options = {"strict": "experimental"}  # as the Vorbis encoder is
        stream.codec_context.open()
        if video is not None:
            _add_video(out, video)
        for start, samples in parts:
            _encode(out, stream, start, samples, layout)
        out.mux(stream.encode(None))
    return file.getvalue()


def _encode(
    out: OutputContainer, stream: AudioStream, start: float, samples: Samples, layout: str
) -> None:
    encoder = stream.codec_context
    fitted = av.AudioResampler(encoder.format, layout, stream.rate, encoder.frame_size or 1024)
    channels = av.AudioLayout(layout).nb_channels
    frame = av.AudioFrame.from_ndarray(np.tile(samples, (channels, 1)), "fltp", layout)
    frame.sample_rate, frame.time_base = stream.rate, Fraction(1, stream.rate)
    frame.pts = round(start * stream.rate)
    for piece in [*fitted.resample(frame), *fitted.resample(None)]:
        out.mux(stream.encode(piece))


def _add_video(out: OutputContainer, codec: str) -> None:
    stream = out.add_stream(codec, rate=25)
    assert isinstance(stream, av.VideoStream)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    for shade in range(0, 250, 5):
        picture = np.full((48, 64, 3), shade, np.uint8)
        out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
    out.mux(stream.encode(None))


def film(
    container: str, codec: str, tracks: Sequence[Samples] = (), *, default: int | None
) -> bytes:
    """Encode audio tracks at 48 kHz (a second of each of PITCHES), one marked as default."""
    t = np.arange(48_000) / 48_000
    given = tracks or [(0.5 * np.sin(2 * np.pi * hz * t)).astype(np.float32) for hz in PITCHES]
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        streams = []
        for number in range(len(given)):
            track = out.add_stream(codec, rate=48_000)
            assert isinstance(track, AudioStream)
            track.layout = "mono"
            track.disposition = Disposition.default if number == default else Disposition(0)
            streams.append(track)
        for track, samples in zip(streams, given, strict=True):
            frame = av.AudioFrame.from_ndarray(samples[np.newaxis], "fltp", "mono")
            frame.sample_rate = 48_000
            out.mux([*track.encode(frame), *track.encode(None)])
    return file.getvalue()


def wav(
    pcm: bytes,
    *,
    rate: int = 16_000,
    channels: int = 1,
    bits: int = 16,
    tag: int = 1,
    claimed_bytes: int | None = None,
) -> bytes:
    """Return a WAV of these bytes, with this header (tag 1 is integer, 3 is float)."""
    block = channels * bits // 8
    shape = struct.pack("<HHIIHH", tag, channels, rate, rate * block & 0xFFFFFFFF, block, bits)
    claimed = len(pcm) if claimed_bytes is None else claimed_bytes
    header = b"WAVEfmt " + struct.pack("<I", 16) + shape + b"data" + struct.pack("<I", claimed)
    return b"RIFF" + struct.pack("<I", claimed + 36 & 0xFFFFFFFF) + header + pcm


def wav_extensible(pcm: bytes, *, rate: int, channels: int, mask: int) -> bytes:
    """Return 16-bit WAVE_FORMAT_EXTENSIBLE with this channel mask."""
    shape = struct.pack("<HHIIHH", 0xFFFE, channels, rate, rate * channels * 2, channels * 2, 16)
    extension = struct.pack("<HHIH", 22, 16, mask, 1) + bytes.fromhex(
        "000000001000800000aa00389b71"
    )
    chunks = b"fmt " + struct.pack("<I", 40) + shape + extension
    chunks += b"data" + struct.pack("<I", len(pcm)) + pcm
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WAVE" + chunks


def pcm16(samples: Samples) -> bytes:
    """Return little-endian 16-bit samples."""
    return (samples * 32767).astype("<i2").tobytes()


def box(kind: bytes, *parts: bytes) -> bytes:
    """Return one box of an MP4 or MOV file."""
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


def table(kind: bytes, *rows: tuple[int, ...]) -> bytes:
    """Return a box that counts its rows of 32-bit numbers."""
    cells = b"".join(struct.pack(f">{len(row)}I", *row) for row in rows)
    return box(kind, bytes(4), struct.pack(">I", len(rows)), cells)


def mov(
    pcm: bytes,
    *,
    samples_per_chunk: int | None = None,
    chunks: int = 1,
    tracks: int = 1,
    reference: bytes = box(b"url ", b"\0\0\0\1"),  # flag 1: the samples are in this file
) -> bytes:
    """Return 16 kHz mono s16le in a MOV whose tables claim what is asked."""
    count = len(pcm) // 2
    start = box(b"ftyp", b"qt  \0\0\2\0qt  ") + box(b"mdat", pcm)
    offset = len(start) - len(pcm)
    sound = struct.pack(">I", 36) + b"sowt" + bytes(6)
    sound += struct.pack(">HHHIHHHHI", 1, 0, 0, 0, 1, 16, 0, 0, 16_000 << 16)
    tables = (
        box(b"stsd", bytes(4), struct.pack(">I", 1), sound),
        table(b"stts", (count, 1)),
        table(b"stsc", (1, samples_per_chunk or count, 1)),
        box(b"stsz", bytes(4), struct.pack(">II", 2, count)),
        table(b"stco", *[(offset,)] * chunks),
    )
    where = box(b"dinf", box(b"dref", bytes(4), struct.pack(">I", 1), reference))
    media = box(
        b"mdia",
        box(b"mdhd", bytes(12), struct.pack(">IIHH", 16_000, count, 0, 0)),
        box(b"hdlr", bytes(4), b"mhlrsoun", bytes(13)),
        box(b"minf", box(b"smhd", bytes(8)), where, box(b"stbl", *tables)),
    )
    head = box(b"tkhd", struct.pack(">6I", 1, 0, 0, 1, 0, count), bytes(60))
    movie = box(b"mvhd", bytes(12), struct.pack(">IIIH", 16_000, count, 0x10000, 256), bytes(74))
    return start + box(b"moov", movie, *[box(b"trak", head, media)] * tracks)

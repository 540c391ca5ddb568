import io
import struct

import pytest
from media_samples import box, encode, mov, pcm16, tone

from whisperlive_hybrid.errors import BadAudio
from whisperlive_hybrid.media.diagnosis import diagnose
from whisperlive_hybrid.media.reader import open_audio

UNDECODABLE = "The audio file could not be decoded or its format is not supported."
FTYP = box(b"ftyp", b"isom\0\0\2\0isom")
LARGE = struct.pack(">I", 1) + b"mdat"  # its 64-bit length follows
PICTURE = box(b"ftyp", b"heic\0\0\0\0mif1") + box(b"meta", bytes(200))


def refusal(media: bytes) -> BadAudio:
    """Return the error for a file that cannot be decoded up to its first sample."""
    with pytest.raises(BadAudio) as refused, open_audio(io.BytesIO(media)) as reader:
        list(reader)
    assert refused.value.param == "file"
    return refused.value


@pytest.mark.parametrize("share", [0.002, 0.5, 0.8])
@pytest.mark.parametrize(
    ("container", "codec", "video"),
    [
        ("mp4", "aac", None),
        ("mp4", "aac", "mpeg4"),
        ("ipod", "aac", None),
        ("mov", "alac", None),
        ("3gp", "aac", None),
    ],
)
def test_a_cut_off_mp4_is_called_cut_off(
    container: str, codec: str, video: str | None, share: float
) -> None:
    """Their index is at their end, so a truncated file is unreadable; the message says so."""
    media = encode(container, codec, video=video)
    error = refusal(media[: round(len(media) * share)])
    assert error.message.startswith("The file was cut off, or its recording was never finished")
    assert "index (moov)" in error.message
    assert error.code == "audio_incomplete"


@pytest.mark.parametrize(
    "media",
    [
        FTYP + box(b"mdat", bytes(5_000)),
        FTYP + bytes(4) + b"mdat" + bytes(5_000),  # as long as the file: the recorder died
        FTYP + LARGE + struct.pack(">Q", 2**40) + bytes(5_000),
        FTYP + LARGE + struct.pack(">Q", 5_016) + bytes(5_000),
        box(b"wide") + box(b"mdat", bytes(5_000)),  # QuickTime before ftyp
        mov(pcm16(tone(16_000, 1.0)))[:-300],
    ],
    ids=["whole", "open end", "huge", "64 bits", "old", "inside the index"],
)
def test_boxes_without_an_index(media: bytes) -> None:
    """A file that ends before its index does is incomplete."""
    assert refusal(media).code == "audio_incomplete"


@pytest.mark.parametrize(
    ("container", "codec", "name"),
    [
        ("mp3", "libmp3lame", "MP3"),
        ("flac", "flac", "FLAC"),
        ("ogg", "libopus", "Ogg"),
        ("webm", "libopus", "WebM or Matroska"),
        ("asf", "libmp3lame", "ASF (WMA)"),
    ],
)
def test_a_head_without_audio_is_called_by_its_format(
    container: str, codec: str, name: str
) -> None:
    """A valid beginning without audio gets another message than a file that is not audio."""
    message = refusal(encode(container, codec)[:60]).message
    assert message == (
        f"{UNDECODABLE} It begins like {name} but cannot be read: "
        "it was probably cut off or damaged."
    )


@pytest.mark.parametrize(
    "media",
    [b"Dear Sir or Madam", b"\x89PNG\r\n\x1a\n" + bytes(1_000), b"RI", b"x"],
    ids=["text", "png", "two bytes", "one byte"],
)
def test_what_is_no_audio_is_not_called_cut_off(media: bytes) -> None:
    """A file without a known beginning gets the general message."""
    assert refusal(media).message == UNDECODABLE


def test_a_picture_lacks_no_index() -> None:
    """HEIC and AVIF are made of the same boxes and have no `moov`."""
    error = refusal(PICTURE)
    assert (error.code, "MP4 or MOV" in error.message) == (None, True)


def test_a_pipe_is_not_read_again() -> None:
    """Without seeking it cannot be examined, so it gets the general message."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    with pytest.raises(BadAudio) as refused:
        open_audio(Pipe(FTYP + box(b"mdat", bytes(5_000))))
    assert refused.value.message == UNDECODABLE


def test_the_walk_over_boxes_is_bounded() -> None:
    """A million empty boxes are not walked, and damaged lengths end the walk."""
    for media in (box(b"free") * 1_000_000, FTYP + struct.pack(">I", 3) + b"mdat"):

        class Counting(io.BytesIO):
            reads = 0

            def read(self, size: int | None = -1) -> bytes:
                self.reads += 1
                return super().read(size)

        file = Counting(media)
        assert diagnose(file, len(media)).code is None
        assert file.reads < 1_100

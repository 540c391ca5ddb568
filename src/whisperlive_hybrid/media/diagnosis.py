"""The reason why a file could not be decoded, from its first bytes and its boxes."""

from typing import BinaryIO, Final

from whisperlive_hybrid.errors import BadAudio
from whisperlive_hybrid.media.limits import decode_error, truncation_error

_SIGNATURES: Final = {
    b"RIFF": "WAV or AVI",
    b"RF64": "WAV",
    b"riff": "Wave64",
    b"fLaC": "FLAC",
    b"OggS": "Ogg",
    b"\x1aE\xdf\xa3": "WebM or Matroska",
    b"FORM": "AIFF",
    b"caff": "CAF",
    b"ID3": "MP3",
    b"0&\xb2u": "ASF (WMA)",
}

_FIRST_BOXES: Final = {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"}
"""The first boxes of MP4, M4A and 3GP files (ftyp) and of older QuickTime files."""

_MAX_BOXES: Final = 1000
"""Boxes that are read: a film has a few before its index, 8 MB could contain a million."""


def diagnose(file: BinaryIO, size: int) -> BadAudio:
    """Return the error for a seekable file of `size` bytes from which libav got no audio."""
    if lacks_index(file, size):
        return truncation_error()
    file.seek(0)
    head = file.read(8)
    if head[4:8] in _FIRST_BOXES:
        return decode_error("MP4 or MOV")
    for signature, name in _SIGNATURES.items():
        if head.startswith(signature):
            return decode_error(name)
    return decode_error()


def lacks_index(file: BinaryIO, size: int) -> bool:
    """Return whether an MP4 or MOV ends before its `moov` box does; False for any other file.

    The boxes are those of ISO/IEC 14496-12, section 4.2. Most encoders write `moov`, which has the
    positions of all samples, after the samples. So a file that was cut off or never finished has
    none.
    """
    file.seek(4)
    if file.read(4) not in _FIRST_BOXES:
        return False
    start = 0
    for _ in range(_MAX_BOXES):
        file.seek(start)
        header = file.read(16)
        if len(header) < 8:
            return True  # no box follows
        length, kind = int.from_bytes(header[:4], "big"), header[4:8]
        if length == 1:  # the length has 64 bits and follows the name
            length = int.from_bytes(header[8:16], "big")
        elif length == 0:  # up to the end of the file
            length = size - start
        if kind == b"meta" or length < 8:  # a picture (HEIC, AVIF), or damage
            return False
        start += length
        if kind == b"moov":
            return start > size
        if start >= size:
            return True
    return False

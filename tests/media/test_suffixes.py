"""The names that promise audio."""

import pytest
from av.format import ContainerFormat

from whisperlive_hybrid.media.suffixes import MEDIA_SUFFIXES

MUXERS = (
    *("wav", "mp3", "mp2", "flac", "ipod", "mov", "mp4", "ogg", "oga", "opus", "spx", "ogv"),
    *("webm", "matroska", "mpeg", "mpegts", "adts", "aiff", "caf", "w64", "avi", "asf", "3gp"),
    "3g2",
)
"""libav's names for what we read, as it writes them."""

LEFT_OUT = {".afc", ".m2a", ".m2t", ".ts"}
"""Rare, or the name of something else: TypeScript."""

OF_COMMON_USE = {".mka", ".mpga", ".wave"}
"""Known to people, not to libav's writers; OpenAI takes .mpga."""


def test_the_suffixes_are_those_of_the_containers_that_are_read() -> None:
    """No more, and none forgotten when libav learns another."""
    of_libav = {f".{name}" for muxer in MUXERS for name in ContainerFormat(muxer, "w").extensions}
    assert (of_libav - LEFT_OUT) | OF_COMMON_USE == MEDIA_SUFFIXES


@pytest.mark.parametrize("suffix", [".txt", ".srt", ".vtt", ".json"])
def test_our_own_outputs_are_no_recordings(suffix: str) -> None:
    """A directory may be read and written at once."""
    assert suffix not in MEDIA_SUFFIXES

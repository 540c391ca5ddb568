"""The profile of a file, with the demo model."""

from pathlib import Path

import pytest
from load_tests.profile import RUNTIME, Profile, format_profile, profile_file

from whisperlive_hybrid.config import ModelSettings
from whisperlive_hybrid.types import DecodeOptions

pytestmark = pytest.mark.anyio


async def test_every_second_has_a_kind(clip_folder: Path) -> None:
    """The kinds add up to the CPU time of the process."""
    settings = ModelSettings(model="demo", threads=2)
    profile = await profile_file(settings, clip_folder, DecodeOptions(), "en", 20, 0)
    assert profile.audio_s == 20
    assert sum(profile.by_kind.values()) == pytest.approx(profile.cpu_s)
    assert set(profile.by_kind) >= {RUNTIME, "voice detection", "media decoding", "mel features"}


def test_the_largest_share_is_first() -> None:
    """Shares are of the CPU time of the process; cores are counted as workers."""
    lines = format_profile(Profile(60.0, 10.0, 16.0, 2, {"text": 4.0, RUNTIME: 12.0}))
    assert lines[0] == "60 s of audio in 10.0 s; 16.0 s of CPU, 80% of 2 cores"
    assert lines[1].split() == ["12.00", "s", "75.0%", "CTranslate2"]

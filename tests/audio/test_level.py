"""Automatic gain of a voice detector's input."""

import numpy as np
import pytest

from whisperlive_hybrid.audio.level import MOST_GAIN_DB, QUIET_DB, VoiceLevel, expand
from whisperlive_hybrid.speech.regions import FRAME
from whisperlive_hybrid.types import Samples


def noise(level_db: float, n_frames: int) -> Samples:
    """Return (n_frames, FRAME) of this power."""
    made = np.random.default_rng(1).normal(0, 10 ** (level_db / 20), (n_frames, FRAME))
    return made.astype(np.float32)


def decibels(samples: Samples) -> float:
    """Return the power of samples."""
    return float(10 * np.log10(np.square(samples, dtype=np.float64).mean()))


def adjusted(level: VoiceLevel, frames: Samples) -> tuple[Samples, list[bool]]:
    """Return the detector's input for frames, and which are overdriven."""
    inputs = frames.copy()
    return inputs, level.adjust(frames, inputs)


@pytest.mark.parametrize("level_db", [-24, -18, -12])
def test_ordinary_levels_pass_unchanged(level_db: float) -> None:
    """They are the same bit for bit, so that measurements on ordinary recordings apply."""
    frames = noise(level_db, 100)
    seen, overdriven = adjusted(VoiceLevel(), frames)
    np.testing.assert_array_equal(seen, frames)
    assert not any(overdriven)


def test_pauses_in_ordinary_speech_pass_unchanged() -> None:
    """The level is held for two seconds; then it falls by 6 dB per second."""
    level = VoiceLevel()
    speech = noise(-20, 1)
    adjusted(level, speech)
    pause = noise(-70, 62 + 94)
    seen, _ = adjusted(level, pause)
    np.testing.assert_array_equal(seen[:62], pause[:62])
    raised = decibels(seen[-1]) - decibels(pause[-1])
    assert raised == pytest.approx(QUIET_DB - decibels(speech) + 6 * 94 * 0.032, abs=0.1)


def test_quiet_audio_is_raised() -> None:
    """It is raised to one level from its first frame on."""
    seen, _ = adjusted(VoiceLevel(), noise(-50, 50))
    assert decibels(seen[0]) == pytest.approx(QUIET_DB, abs=0.1)
    assert decibels(seen) == pytest.approx(QUIET_DB, abs=1)


def test_no_more_than_the_largest_gain() -> None:
    """The noise of a good microphone stays noise."""
    frames = noise(-90, 50)
    seen, _ = adjusted(VoiceLevel(), frames)
    assert decibels(seen) - decibels(frames) == pytest.approx(MOST_GAIN_DB, abs=0.1)


def test_a_louder_frame_counts_at_once() -> None:
    """Speech after a quiet room is not amplified with the gain of the room."""
    level = VoiceLevel()
    adjusted(level, noise(-60, 200))
    speech = noise(-20, 3)
    seen, _ = adjusted(level, speech)
    np.testing.assert_array_equal(seen, speech)


def test_overdriven_audio_is_lowered_and_said_to_be() -> None:
    """Only lasting loudness is overdriven, not a single loud frame."""
    level = VoiceLevel()
    frames = np.sign(noise(-1, 40)) * np.float32(0.7)
    seen, overdriven = adjusted(level, frames)
    assert not overdriven[0]
    assert overdriven[-1]
    assert decibels(seen[-1]) == pytest.approx(decibels(frames[-1]) - 20, abs=0.1)


def test_expansion_lowers_what_is_quiet() -> None:
    """Full scale stays the loudest; noise 20 dB below it is lowered by 10 dB more."""
    loud = np.array([1.0, -1.0, 0.1, -0.1], np.float32) * np.float32(0.1)
    np.testing.assert_allclose(expand(loud), [0.1, -0.1, 0.00316, -0.00316], rtol=0.01)

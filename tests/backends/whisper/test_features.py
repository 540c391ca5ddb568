import numpy as np
import pytest
from faster_whisper.feature_extractor import FeatureExtractor
from speech_clips import Clip

from whisperlive_hybrid.backends.whisper.features import MelFeatures
from whisperlive_hybrid.types import SAMPLE_RATE, Samples


@pytest.fixture(scope="module")
def speech(clips: list[Clip]) -> Samples:
    """More than 30 s of speech."""
    return np.concatenate([clip.samples for clip in clips if clip.words])


@pytest.mark.parametrize("n_mels", [80, 128])
@pytest.mark.parametrize("context_s", [5.0, 30.0])
@pytest.mark.parametrize("duration", [0.0, 0.01, 0.05, 1.0, 4.99, 5.0])
def test_equals_the_features_of_audio_padded_with_silence(
    speech: Samples, n_mels: int, context_s: float, duration: float
) -> None:
    """Silence that is filled in is what silence would have been, within one rounding step."""
    audio = speech[SAMPLE_RATE : SAMPLE_RATE + round(duration * SAMPLE_RATE)]
    padded = np.zeros(round(context_s * SAMPLE_RATE), np.float32)
    padded[: len(audio)] = audio
    wanted = FeatureExtractor(feature_size=n_mels)(padded)[:, : round(context_s * 100)]
    features = MelFeatures(n_mels)(audio, context_s)
    assert features.dtype == np.float32
    assert features.shape == (n_mels, round(context_s * 100))
    np.testing.assert_allclose(features, wanted, rtol=0, atol=1e-6)


def test_a_full_context_is_exact(speech: Samples) -> None:
    """Thirty seconds of speech without any padding are the reference's features, bit for bit."""
    audio = speech[: 30 * SAMPLE_RATE]
    wanted = FeatureExtractor(feature_size=80)(audio)[:, :3000]
    assert np.array_equal(MelFeatures(80)(audio, 30.0), wanted)


def test_audio_beyond_the_context_is_not_heard(speech: Samples) -> None:
    """A context holds what fits; the rest has no effect."""
    features = MelFeatures(80)
    assert np.array_equal(
        features(speech[: 9 * SAMPLE_RATE], 5.0), features(speech[: 5 * SAMPLE_RATE], 5.0)
    )

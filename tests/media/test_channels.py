"""Stereo and surround sound made into one channel."""

import io

import av
import numpy as np
import pytest
from av.audio.frame import AudioFrame
from media_samples import Samples, dominant_hz, pcm16, tone, wav, wav_extensible

from whisperlive_hybrid.media.channels import MIXER_OPTIONS
from whisperlive_hybrid.media.reader import open_audio

RATE = 16_000
TONE = tone(RATE, 4.0)
NOISE = np.random.default_rng(1).normal(0, 0.05, (8, 4 * RATE)).astype(np.float32)


def read(*channels: Samples, mask: int = 0) -> Samples:
    """Return the samples of a WAV file with these channels."""
    pcm = pcm16(np.stack(channels, axis=1).reshape(-1))
    if mask:
        media = wav_extensible(pcm, rate=RATE, channels=len(channels), mask=mask)
    else:
        media = wav(pcm, channels=len(channels))
    with open_audio(io.BytesIO(media)) as reader:
        return np.concatenate(list(reader))


def mixed(*channels: Samples) -> Samples:
    """Return the mix that libav makes of stereo, as before there was a choice."""
    pcm = (np.stack(channels, axis=1) * 32767).astype("<i2")
    frame = AudioFrame.from_ndarray(pcm.reshape(1, -1), "s16", "stereo")
    frame.sample_rate = RATE
    mixer = av.AudioResampler("flt", "mono", RATE, options=MIXER_OPTIONS)
    pieces = [out.to_ndarray()[0] for given in (frame, None) for out in mixer.resample(given)]
    return np.concatenate(pieces)


@pytest.mark.parametrize("level", [1.0, 0.8])
def test_inverted_channels_are_read(level: float) -> None:
    """The mix would be silence, or a tenth; the louder channel is the recording."""
    samples = read(TONE, -level * TONE)
    assert samples.size == TONE.size
    np.testing.assert_allclose(samples, TONE, atol=1e-4)


def test_the_louder_of_two_inverted_channels_is_taken() -> None:
    """On either side."""
    np.testing.assert_allclose(read(-0.8 * TONE, TONE), TONE, atol=1e-4)


@pytest.mark.parametrize(
    "other",
    [TONE, 0.3 * TONE, -0.5 * TONE, 0 * TONE, NOISE[0], np.roll(TONE, 9)],
    ids=["same", "panned", "half inverted", "silent", "noise", "late"],
)
def test_ordinary_stereo_is_the_same_bits_as_its_mix(other: Samples) -> None:
    """Also where one channel is silent: two people on a channel each are both read."""
    np.testing.assert_array_equal(read(TONE, other), mixed(TONE, other))


def test_people_on_a_channel_each_are_both_read() -> None:
    """While one speaks the other's channel is silent; nothing is switched between them."""
    turns = np.arange(TONE.size) // RATE % 2 == 0
    left, right = TONE * turns, TONE * ~turns
    np.testing.assert_array_equal(read(left, right), mixed(left, right))


def test_inverted_sentences_with_pauses_are_read() -> None:
    """Independent hiss on the channels between them does not matter."""
    speaks = np.arange(TONE.size) // RATE % 2 == 0
    voice = TONE * speaks
    hiss = 0.01 * NOISE
    samples = read(voice + hiss[0], -voice + hiss[1])
    np.testing.assert_allclose(samples[: RATE // 2], (voice + hiss[0])[: RATE // 2], atol=1e-4)
    assert np.abs(samples[2 * RATE + 3000 : 3 * RATE]).max() == pytest.approx(0.5, abs=0.01)
    assert samples.size == TONE.size


def test_a_recording_that_becomes_ordinary_is_mixed_again() -> None:
    """An inverted jingle before an interview decides nothing about the interview."""
    half = TONE.size // 2
    right = np.concatenate([-TONE[:half], 0.5 * TONE[half:]])
    samples = read(TONE, right)
    np.testing.assert_allclose(samples[:half], TONE[:half], atol=1e-3)
    later = half + RATE // 2  # a decision is made for whole packets
    np.testing.assert_allclose(samples[later:], 0.75 * TONE[later:], atol=1e-3)


def test_hum_and_offset_do_not_decide() -> None:
    """The inverted part on a bad line is below speech, and the mix is the better signal."""
    t = np.arange(TONE.size) / RATE
    hum = (0.3 * np.sin(2 * np.pi * 50 * t) + 0.1).astype(np.float32)
    voice = 0.3 * TONE
    np.testing.assert_array_equal(read(voice + hum, voice - hum), mixed(voice + hum, voice - hum))


@pytest.mark.parametrize(("channels", "mask"), [(6, 0x3F), (8, 0x63F)])
def test_surround_with_inverted_front_is_read(channels: int, mask: int) -> None:
    """Left and right are inverted, and what else there is is quiet; 8 channels are the most."""
    others = 0.01 * NOISE[: channels - 2]
    samples = read(TONE, -TONE, *others, mask=mask)
    assert dominant_hz(samples) == pytest.approx(440, abs=1)
    assert np.abs(samples).max() == pytest.approx(0.5, abs=0.01)


def test_a_voice_in_the_centre_is_mixed() -> None:
    """A film's dialogue; in the mix it has its own weight."""
    silent = 0 * TONE
    samples = read(silent, silent, TONE, silent, silent, silent, mask=0x3F)
    assert np.abs(samples).max() == pytest.approx(0.5 * 0.293, abs=0.01)

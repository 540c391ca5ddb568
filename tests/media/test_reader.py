"""The choice of the audio track."""

import io

import numpy as np
import pytest
from media_samples import PITCHES, dominant_hz, film, mov, pcm16, tone

from whisperlive_hybrid.errors import BadAudio
from whisperlive_hybrid.media.reader import open_audio


def pitch(media: bytes, audio_track: int | None = None) -> float:
    """Return the pitch of the track that is read."""
    with open_audio(io.BytesIO(media), audio_track=audio_track) as reader:
        return dominant_hz(np.concatenate(list(reader)))


@pytest.mark.parametrize(("container", "codec"), [("matroska", "aac"), ("mp4", "aac")])
@pytest.mark.parametrize("default", [0, 1, 2])
def test_the_default_track_is_read(container: str, codec: str, default: int) -> None:
    """As players do: the first one may be a commentary."""
    media = film(container, codec, default=default)
    assert pitch(media) == pytest.approx(PITCHES[default], abs=3)


@pytest.mark.parametrize("number", range(len(PITCHES)))
def test_any_track_can_be_chosen(number: int) -> None:
    """Counted from 0 among the audio tracks."""
    media = film("matroska", "aac", default=1)
    assert pitch(media, number) == pytest.approx(PITCHES[number], abs=3)


def test_the_first_track_is_read_where_none_is_marked() -> None:
    """Some containers have no such mark."""
    assert pitch(film("mpegts", "aac", default=None)) == pytest.approx(PITCHES[0], abs=3)


@pytest.mark.parametrize(
    ("tracks", "expected"),
    [(1, "has 1 audio track, so audio_track must be 0, not 7"), (3, "3 audio tracks, .* 0 to 2")],
)
def test_a_track_that_is_not_there_is_refused(tracks: int, expected: str) -> None:
    """The message has the number of tracks."""
    media = mov(pcm16(tone(16_000, 0.2)), tracks=tracks)
    with pytest.raises(BadAudio, match=expected) as refusal:
        open_audio(io.BytesIO(media), audio_track=7)
    assert refusal.value.param == "audio_track"
    assert refusal.value.code == "invalid_value"

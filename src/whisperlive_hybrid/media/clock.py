"""The recording's own clock against the samples that came: where there is nothing."""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from av.audio.frame import AudioFrame
from av.container import InputContainer

from whisperlive_hybrid.types import SAMPLE_RATE

_MATROSKA: Final = "matroska,webm"

_LONGEST_HOLE_S: Final = {
    # Somebody was muted, or bytes are damaged. A damaged time stamp is mostly further off.
    "mov,mp4,m4a,3gp,3g2,mj2": 3600.0,
    _MATROSKA: 3600.0,
    "ogg": 3600.0,
    "flac": 3600.0,
    # Their clock may be set anew, as where advertisements were cut out; ffmpeg's threshold.
    "mpegts": 10.0,
    "mpeg": 10.0,
}
"""By libav's name: those that stamp or number what they hold. For the others libav counts bytes or
frames, and the stamps of ASF come late (docs/decisions/0017-the-clock-of-a-file.md).
"""

_TOLERANCE_S: Final = 0.1
"""Subtitles may be off by that; one lost packet and the milliseconds of Matroska are less."""


class Placed(NamedTuple):
    """A frame, and where the unbroken run of samples begins to which it belongs."""

    run: int
    """Samples at 16 kHz before the run, from the time that a player shows as 0."""

    frame: AudioFrame


def placed(container: InputContainer, decoded: Iterable[AudioFrame]) -> Iterator[Placed]:
    """Begin a new run where a time stamp is ahead of the samples counted so far.

    What is put in as silence is counted too, so that nothing adds up. Stamps that are missing,
    that go back or that leap too far change nothing: samples follow one another.
    """
    zero_s, longest_s = _zero_s(container), _LONGEST_HOLE_S.get(container.format.name, 0.0)
    run, counted_s = 0, 0.0
    for frame in decoded:
        if frame.time is not None and zero_s is not None:
            time_s = frame.time - zero_s
            if _TOLERANCE_S < time_s - counted_s <= longest_s:
                run, counted_s = round(time_s * SAMPLE_RATE), time_s
        yield Placed(run, frame)
        counted_s += frame.samples / frame.sample_rate


def _zero_s(container: InputContainer) -> float | None:
    """When the first of all streams begins, which a player shows as 0; None if libav can't tell.

    In Matroska it would have to decode H.264 for that, which we do not allow; films begin at 0.
    """
    if container.format.name == _MATROSKA and container.streams.video:
        return 0.0
    start = container.start_time  # microseconds
    return None if start is None else start / 1e6

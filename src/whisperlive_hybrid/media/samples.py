"""Decoding with libav: packets to frames, frames to blocks of samples."""

import itertools
import operator
from collections.abc import Generator, Iterable, Iterator
from fractions import Fraction
from typing import Final, NamedTuple

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet

from whisperlive_hybrid.audio.pcm import mute_impossible
from whisperlive_hybrid.media.channels import MIXER_OPTIONS, replace_cancelled_seconds
from whisperlive_hybrid.media.limits import MediaLimits, check_shape, scale_error
from whisperlive_hybrid.media.source import MediaSource
from whisperlive_hybrid.types import SAMPLE_RATE

_MATROSKA: Final = "matroska,webm"

_LONGEST_HOLE_S: Final = {
    # A microphone was muted, or bytes are damaged. Damaged time stamps are mostly larger.
    "mov,mp4,m4a,3gp,3g2,mj2": 3600.0,
    _MATROSKA: 3600.0,
    "ogg": 3600.0,
    "flac": 3600.0,
    # Their clock may be reset, as where advertisements were cut out; ffmpeg's threshold.
    "mpegts": 10.0,
    "mpeg": 10.0,
}
"""By libav's name of the container, for those with time stamps or numbers. For others libav counts
bytes or frames, and the time stamps of ASF are late (docs/decisions/0017-the-clock-of-a-file.md).
"""

_TOLERANCE_S: Final = 0.1
"""A smaller gap is ignored: subtitles may be off by it, and it is more than one lost packet or the
rounding of Matroska to milliseconds."""


class PlacedFrame(NamedTuple):
    """A frame, and the start of the continuous run of samples that contains it."""

    run: int
    """Samples at 16 kHz before the run, from the time that a player shows as 0."""

    frame: AudioFrame


_RUN_AND_SHAPE: Final = operator.attrgetter(
    "run", "frame.sample_rate", "frame.layout.nb_channels", "frame.layout.name", "frame.format.name"
)


def place_frames(container: InputContainer, decoded: Iterable[AudioFrame]) -> Iterator[PlacedFrame]:
    """Begin a new run where a time stamp is ahead of the samples so far.

    Inserted silence is counted too, so that errors do not add up. Time stamps that are missing, go
    back or are too far ahead are ignored.
    """
    # Time 0 of a player is the start of the first stream; None if libav does not know it. In
    # Matroska it would have to decode H.264 for that, which is not allowed; films begin at 0.
    zero_s: float | None = 0.0
    if container.format.name != _MATROSKA or not container.streams.video:
        start = container.start_time  # microseconds
        zero_s = None if start is None else start / 1e6
    longest_s = _LONGEST_HOLE_S.get(container.format.name, 0.0)
    run, counted_s = 0, 0.0
    for frame in decoded:
        if frame.time is not None and zero_s is not None:
            time_s = frame.time - zero_s
            if _TOLERANCE_S < time_s - counted_s <= longest_s:
                run, counted_s = round(time_s * SAMPLE_RATE), time_s
        yield PlacedFrame(run, frame)
        counted_s += frame.samples / frame.sample_rate


def decode_frames(
    container: InputContainer, stream: AudioStream, source: MediaSource
) -> Iterator[AudioFrame]:
    """Yield all frames that can be decoded; raises BadAudio if there are none."""
    decoded, too_loud = 0, 0.0
    # Such a file may contain any float. Impossible ones are muted before the resampler spreads them
    # over other samples.
    holds_floats = stream.codec_context.name.startswith("pcm_f")
    for packet in _read_packets(container, stream):
        source.check_time()
        try:
            frames = stream.codec_context.decode(packet)
        except av.FFmpegError as error:
            _reraise_out_of_memory(error)
            frames = []  # a damaged packet, which is skipped as in ffmpeg
        for frame in frames:
            decoded += frame.samples
            if frame.samples:
                source.note_sample()
                if holds_floats:
                    channels = frame.layout.nb_channels
                    dtype = np.dtype(f"f{frame.format.bytes}")
                    plane = memoryview(frame.planes[0])  # the only one: the samples are interleaved
                    numbers = np.frombuffer(plane, dtype, count=frame.samples * channels)
                    not_numbers = numbers.size - np.count_nonzero(np.isfinite(numbers))
                    too_loud += (mute_impossible(numbers) - not_numbers) / channels
                yield frame
    if not decoded:
        raise source.decode_error()
    if too_loud > decoded / 2:
        raise scale_error()


def _read_packets(
    container: InputContainer, stream: AudioStream
) -> Iterator["Packet[AudioStream] | None"]:
    """Yield the packets of the stream, then None, which drains the decoder.

    If the rest of the file is unreadable the audio ends, as in ffmpeg. Empty packets are skipped:
    they would end the stream in a decoder.
    """
    try:
        for packet in container.demux(stream):
            if packet.size:
                yield packet
    except av.FFmpegError as error:
        _reraise_out_of_memory(error)
    yield None


def _reraise_out_of_memory(error: av.FFmpegError) -> None:
    """Raise a lack of memory, which must not be taken for damage or the end of a file."""
    if isinstance(error, MemoryError):
        raise error


def resample(
    decoded: Iterable[PlacedFrame], limits: MediaLimits
) -> Generator[npt.NDArray[np.float32], None, None]:
    """Mix and resample to mono 16 kHz blocks, with silence before a run that begins later.

    The shape of frames may change (chained Ogg).
    """
    read = 0
    for (run, rate, channels, *_), group in itertools.groupby(decoded, key=_RUN_AND_SHAPE):
        check_shape(rate, channels, limits)
        # In blocks: a small file may claim an hour of silence.
        while read < run:
            silence = np.zeros(min(SAMPLE_RATE, run - read), np.float32)
            read += silence.size
            yield silence
        frames = (_drop_time_stamp(frame) for _, frame in group)
        audible = replace_cancelled_seconds(frames) if channels > 1 else frames
        for _, same in itertools.groupby(audible, key=lambda frame: frame.layout.nb_channels):
            for block in _mix(same):
                read += block.size
                yield block


def _mix(frames: Iterable[AudioFrame]) -> Iterator[npt.NDArray[np.float32]]:
    """Mix and resample frames of one shape to mono 16 kHz blocks."""
    resampler = av.AudioResampler(
        format="flt",
        layout="mono",
        rate=SAMPLE_RATE,
        frame_size=SAMPLE_RATE,
        options=MIXER_OPTIONS,
    )
    for frame in itertools.chain(frames, (None,)):
        for block in resampler.resample(frame):
            samples: npt.NDArray[np.float32] = block.to_ndarray()[0].astype(np.float32, copy=False)
            mute_impossible(samples)  # a lossy codec may decode damaged bytes to any value
            yield samples


def _drop_time_stamp(frame: AudioFrame) -> AudioFrame:
    """Remove the time stamp: inside a run, samples follow one another without gaps."""
    frame.pts = None
    frame.time_base = Fraction(1, frame.sample_rate)
    return frame

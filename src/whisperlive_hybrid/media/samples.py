"""Packets to frames, frames to blocks: what libav does between bytes and samples."""

import itertools
from collections.abc import Generator, Iterable, Iterator
from fractions import Fraction
from typing import Final, NamedTuple

import av
import numpy as np
import numpy.typing as npt
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet

from whisperlive_hybrid.audio.pcm import mute_impossible
from whisperlive_hybrid.media.channels import MIXER_OPTIONS, audible
from whisperlive_hybrid.media.limits import MediaLimits, check_shape, out_of_scale
from whisperlive_hybrid.media.source import Source
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


def frames(container: InputContainer, stream: AudioStream, source: Source) -> Iterator[AudioFrame]:
    """Decode what can be decoded, and raise BadAudio if that is nothing."""
    decoded, too_loud = 0, 0.0
    # Of these the file holds the numbers themselves, so that they can be anything. They are muted
    # before the resampler spreads them over their neighbours.
    holds_floats = stream.codec_context.name.startswith("pcm_f")
    for packet in _packets(container, stream):
        source.check_time()
        for frame in _decoded(stream.codec_context, packet):
            decoded += frame.samples
            if frame.samples:
                source.found_audio()
                if holds_floats:
                    channels = frame.layout.nb_channels
                    dtype = np.dtype(f"f{frame.format.bytes}")
                    plane = memoryview(frame.planes[0])  # the only one: they are interleaved
                    numbers = np.frombuffer(plane, dtype, count=frame.samples * channels)
                    not_numbers = numbers.size - np.count_nonzero(np.isfinite(numbers))
                    too_loud += (mute_impossible(numbers) - not_numbers) / channels
                yield frame
    if not decoded:
        raise source.undecodable()
    if too_loud > decoded / 2:
        raise out_of_scale()


def _packets(
    container: InputContainer, stream: AudioStream
) -> Iterator["Packet[AudioStream] | None"]:
    """Yield the packets of the stream, then None, which drains the decoder.

    Where the rest of the file is unreadable the audio ends, as in ffmpeg. Empty packets are left
    out: to a decoder they mean that the stream ends.
    """
    try:
        for packet in container.demux(stream):
            if packet.size:
                yield packet
    except av.FFmpegError as error:
        _reraise_if_ours(error)
    yield None


def _decoded(decoder: AudioCodecContext, packet: "Packet[AudioStream] | None") -> list[AudioFrame]:
    """Decode one packet, a damaged one to nothing, as ffmpeg does."""
    try:
        return decoder.decode(packet)
    except av.FFmpegError as error:
        _reraise_if_ours(error)
        return []


def _reraise_if_ours(error: av.FFmpegError) -> None:
    """Lack of memory is no damage in the file, and must not pass for its end."""
    if isinstance(error, MemoryError):
        raise error


def resampled(
    decoded: Iterable[Placed], limits: MediaLimits
) -> Generator[npt.NDArray[np.float32], None, None]:
    """Mix and resample to mono 16 kHz blocks, with silence before each run that begins later.

    Shapes may change on the way (chained Ogg).
    """
    read = 0
    for (run, rate, channels, *_), alike in itertools.groupby(decoded, key=_run_and_shape):
        check_shape(rate, channels, limits)
        frames = (_untimed(frame) for _, frame in alike)
        heard = audible(frames) if channels > 1 else frames
        mixed = (
            block
            for _, same in itertools.groupby(heard, key=lambda frame: frame.layout.nb_channels)
            for block in _mixed(same)
        )
        for block in itertools.chain(_silence(run - read), mixed):
            read += block.size
            yield block


def _run_and_shape(placed: Placed) -> tuple[int, int, int, str, str]:
    run, frame = placed
    return run, frame.sample_rate, frame.layout.nb_channels, frame.layout.name, frame.format.name


def _silence(samples: int) -> Iterator[npt.NDArray[np.float32]]:
    """In blocks: a small file may claim an hour of it."""
    for start in range(0, samples, SAMPLE_RATE):
        yield np.zeros(min(SAMPLE_RATE, samples - start), np.float32)


def _mixed(frames: Iterable[AudioFrame]) -> Iterator[npt.NDArray[np.float32]]:
    """Mix and resample frames of one shape."""
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
            mute_impossible(samples)  # a lossy codec makes anything of damaged bytes
            yield samples


def _untimed(frame: AudioFrame) -> AudioFrame:
    """Forget the time stamp: inside a run the place of a sample is the number before it."""
    frame.pts = None
    frame.time_base = Fraction(1, frame.sample_rate)
    return frame

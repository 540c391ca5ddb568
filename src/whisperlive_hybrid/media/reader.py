"""Opens a media file under restrictions and reads it block by block."""

import ctypes
import threading
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import BinaryIO, Self

import av
import av.container.core
import numpy as np
import numpy.typing as npt
from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Discard, Disposition

from whisperlive_hybrid.media.limits import (
    MediaLimits,
    check_shape,
    no_such_track,
    too_long,
    undecodable,
)
from whisperlive_hybrid.media.samples import frames, placed, resampled
from whisperlive_hybrid.media.source import Source
from whisperlive_hybrid.types import SAMPLE_RATE

_CONTAINERS = "wav,mp3,flac,ogg,mov,matroska,aac,aiff,w64,caf,mpeg,mpegts,asf,avi"
_DECODERS = (
    "mp3float,mp3,mp2float,mp2,mp1float,mp1,aac,aac_latm,alac,flac,vorbis,opus,libopus,speex,"
    "libspeex,ac3,eac3,wmav1,wmav2,wmapro,amrnb,amrwb,libopencore_amrnb,libopencore_amrwb,gsm,"
    "gsm_ms,adpcm_ms,adpcm_ima_wav,adpcm_ima_qt,pcm_alaw,pcm_mulaw,pcm_u8,pcm_s8,pcm_s16le,"
    "pcm_s16be,pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,pcm_f32le,pcm_f32be,pcm_f64le,pcm_f64be,"
    "pcm_bluray,pcm_dvd"
)
_MAX_STREAMS = 16  # a phone's video has six; each may cost two of the allocations below
_MAX_ALLOCATION = 32 * 2**20  # bytes; an index of 1.4 million packets, eight hours of AAC

_OPEN_OPTIONS = {
    "format_whitelist": _CONTAINERS,
    # Also holds while libav probes the streams, so that no video decoder ever runs.
    "codec_whitelist": _DECODERS,
    "protocol_whitelist": "none",  # no protocol has this name
    "enable_drefs": "0",
    "max_streams": str(_MAX_STREAMS),
}


_DEFAULT_LIMITS = MediaLimits()


def open_audio(
    file: BinaryIO, limits: MediaLimits = _DEFAULT_LIMITS, audio_track: int | None = None
) -> "AudioReader":
    """Open one audio track of a media file, told by its content and never by its name.

    `audio_track` counts from 0 among the audio tracks; by default it is the one that the container
    marks as default, as in players, or else the first. A seekable file is read from its beginning,
    wherever it stands; it remains the caller's to close. Raises BadAudio if the file is empty, is
    no container we accept, has no audio track or not this one, or if the track has a codec, sample
    rate or channel count that we refuse. Errors of the file object itself come through unchanged.
    """
    _cap_allocations()
    source = Source(file, limits.max_decode_s, limits.max_silent_s)
    with source.at_work():
        container = av.open(
            source, mode="r", options=_OPEN_OPTIONS, metadata_errors="replace", io_open=_refuse
        )
        try:
            stream = _select_audio_track(container, source, audio_track)
            _open_decoder(stream.codec_context, limits)
        except BaseException:
            container.close()
            raise
    return AudioReader(container, stream, source, limits)


class AudioReader:
    """One file as mono float32 samples at 16 kHz, in blocks of a second or less.

    It blocks, so it belongs on a worker thread; PyAV releases the GIL while libav decodes. One
    consumer at a time. Closing from another thread is safe: it waits for the block in work, and
    the consumer's loop then ends. Memory does not grow with the length of the audio.
    """

    duration_s: float | None
    """What the container claims, None when it does not say; for progress only, never trusted."""

    samples_read: int
    """Samples at 16 kHz yielded so far."""

    def __init__(
        self, container: InputContainer, stream: AudioStream, source: Source, limits: MediaLimits
    ) -> None:
        self.duration_s = _claimed_duration(container)
        self.samples_read = 0
        self._container = container
        self._source = source
        self._limits = limits
        decoded = placed(container, frames(container, stream, source))
        self._samples = resampled(decoded, limits)
        self._one_at_a_time = threading.Lock()

    def blocks(self) -> Iterator[npt.NDArray[np.float32]]:
        """Yield (n,) float32 blocks, 0 < n <= 16,000, mono, 16 kHz, every value within ±8.

        What is not finite or louder than that becomes 0 (`audio.pcm.LOUDEST_FLOAT`); nothing is
        clipped, and a lossy codec may overshoot 1.0. A damaged packet is left out, and a file that
        breaks off gives what it has. Where the container's time stamps say that nothing is there,
        there is silence. Raises BadAudio if nothing at all could be decoded, if most floats of a
        file are beyond ±8, if the audio is longer or takes longer than the limits, or if it changes
        to a sample rate or channel count that we refuse; raises what the file object raised. A
        second call goes on where the first one stopped.
        """
        while (block := self._next_block()) is not None:
            yield block

    __iter__ = blocks

    def _next_block(self) -> npt.NDArray[np.float32] | None:
        with self._one_at_a_time, self._source.at_work():
            block = next(self._samples, None)
        if block is None:
            return None
        self.samples_read += block.size
        if self.samples_read > self._limits.max_duration_s * SAMPLE_RATE:
            raise too_long(self._limits)
        return block

    def close(self) -> None:
        """Release libav's memory; the file stays open. Closing twice is fine."""
        with self._one_at_a_time:
            self._samples.close()  # first: nothing may ask a closed container for a packet
            self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _cap_allocations() -> None:
    """Let no single allocation of libav exceed `_MAX_ALLOCATION`, in this whole process.

    64 kB of MOV can claim an index of 2 GiB, and libav fills it before PyAV returns. PyAV does not
    offer the call behind ffmpeg's -max_alloc, but the module that it loaded does. Where it cannot
    be found (a platform whose loader does not look through dependencies) there is no cap.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(av.container.core.__file__).av_max_alloc(ctypes.c_size_t(_MAX_ALLOCATION))


def _refuse(*_wanted: object) -> BinaryIO:
    """Refuse to open what a container names besides itself (PyAV's hook for that)."""
    raise undecodable()


def _select_audio_track(
    container: InputContainer, source: Source, audio_track: int | None
) -> AudioStream:
    """Return the track asked for, and have libav leave all other streams out."""
    tracks = container.streams.audio
    if not tracks:
        raise source.without_audio()
    if audio_track is None:
        # Matroska, MP4 and MOV have this mark; a container without it marks no track.
        marked = (track for track in tracks if track.disposition & Disposition.default)
        chosen = next(marked, tracks[0])
    elif audio_track < len(tracks):
        chosen = tracks[audio_track]
    else:
        raise no_such_track(audio_track, len(tracks))
    for stream in container.streams:
        if stream is not chosen:
            stream.discard = Discard.all
    return chosen


def _open_decoder(decoder: AudioCodecContext | None, limits: MediaLimits) -> None:
    # None where libav knows no decoder; and PyAV's own decoder does not see codec_whitelist.
    if decoder is None or decoder.name not in _DECODERS.split(","):
        raise undecodable()
    if decoder.sample_rate and decoder.channels:  # else the first frame tells
        check_shape(decoder.sample_rate, decoder.channels, limits)
    decoder.thread_count = 1  # the cores belong to the model
    decoder.open(strict=False)


def _claimed_duration(container: InputContainer) -> float | None:
    claim = container.duration  # microseconds
    return claim / 1e6 if claim is not None and claim > 0 else None

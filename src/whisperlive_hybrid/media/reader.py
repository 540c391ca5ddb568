"""Opening of a media file under restrictions, and reading of it block by block."""

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
    decode_error,
    duration_error,
    track_error,
)
from whisperlive_hybrid.media.samples import decode_frames, place_frames, resample
from whisperlive_hybrid.media.source import MediaSource
from whisperlive_hybrid.types import SAMPLE_RATE

_CONTAINERS = "wav,mp3,flac,ogg,mov,matroska,aac,aiff,w64,caf,mpeg,mpegts,asf,avi"
_DECODERS = (
    "mp3float,mp3,mp2float,mp2,mp1float,mp1,aac,aac_latm,alac,flac,vorbis,opus,libopus,speex,"
    "libspeex,ac3,eac3,wmav1,wmav2,wmapro,amrnb,amrwb,libopencore_amrnb,libopencore_amrwb,gsm,"
    "gsm_ms,adpcm_ms,adpcm_ima_wav,adpcm_ima_qt,pcm_alaw,pcm_mulaw,pcm_u8,pcm_s8,pcm_s16le,"
    "pcm_s16be,pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,pcm_f32le,pcm_f32be,pcm_f64le,pcm_f64be,"
    "pcm_bluray,pcm_dvd"
)
_MAX_STREAMS = 16  # a phone's video has six; a stream may cost two of the allocations below
_MAX_ALLOCATION = 32 * 2**20  # bytes; an index of 1.4 million packets, eight hours of AAC

_OPEN_OPTIONS = {
    "format_whitelist": _CONTAINERS,
    # libav also obeys it while probing the streams, so no video decoder ever runs.
    "codec_whitelist": _DECODERS,
    "protocol_whitelist": "none",  # no protocol has this name
    "enable_drefs": "0",
    "max_streams": str(_MAX_STREAMS),
}


_DEFAULT_LIMITS = MediaLimits()


def open_audio(
    file: BinaryIO, limits: MediaLimits = _DEFAULT_LIMITS, audio_track: int | None = None
) -> "MediaReader":
    """Open one audio track of a media file, whose format is detected from its content.

    `audio_track` counts from 0 among the audio tracks; the default is the one that the container
    marks as default, as in players, or else the first. A seekable file is read from its beginning,
    independent of its position; the caller closes it. Raises BadAudio if the file is empty, if its
    container is not accepted, if it has no audio track or not this one, or if the codec, sample
    rate or channel count of the track is not accepted. Errors of the file object are passed on.
    """
    # The limit holds for each allocation of libav in the process: 64 kB of MOV can claim an index
    # of 2 GiB, and libav fills it before PyAV returns. PyAV does not offer the call behind ffmpeg's
    # -max_alloc, but the module that it loaded does. If it cannot be found (on a platform whose
    # loader does not search dependencies) there is no limit.
    with suppress(OSError, AttributeError):
        ctypes.CDLL(av.container.core.__file__).av_max_alloc(ctypes.c_size_t(_MAX_ALLOCATION))
    source = MediaSource(file, limits.max_decode_s, limits.max_silent_s)
    with source.at_work():
        container = av.open(
            source, mode="r", options=_OPEN_OPTIONS, metadata_errors="replace", io_open=_refuse_open
        )
        try:
            stream = _open_track(container, source, audio_track, limits)
        except BaseException:
            container.close()
            raise
    return MediaReader(container, stream, source, limits)


class MediaReader:
    """One file as mono float32 samples at 16 kHz, in blocks of a second or less.

    It blocks, so use it on a worker thread; PyAV releases the GIL while libav decodes. One consumer
    at a time. Another thread may close it: that waits for the current block, and the consumer's
    loop then ends. Memory does not grow with the length of the audio.
    """

    duration_s: float | None
    """The container's claim, or None; for progress only, not to be trusted."""

    samples_read: int
    """Samples at 16 kHz yielded so far."""

    def __init__(
        self,
        container: InputContainer,
        stream: AudioStream,
        source: MediaSource,
        limits: MediaLimits,
    ) -> None:
        claim = container.duration  # microseconds
        self.duration_s = claim / 1e6 if claim is not None and claim > 0 else None
        self.samples_read = 0
        self._container = container
        self._source = source
        self._limits = limits
        decoded = place_frames(container, decode_frames(container, stream, source))
        self._samples = resample(decoded, limits)
        self._lock = threading.Lock()  # libav decodes one block at a time

    def blocks(self) -> Iterator[npt.NDArray[np.float32]]:
        """Yield (n,) float32 blocks, 0 < n <= 16,000, mono, 16 kHz, every value within ±8.

        Values that are not finite or beyond that become 0 (`audio.pcm.LOUDEST_FLOAT`); nothing is
        clipped, and a lossy codec may exceed 1.0. Damaged packets are skipped, and a truncated file
        gives the audio that it has. Gaps in the container's time stamps become silence. Raises
        BadAudio if nothing could be decoded, if most floats of a file are beyond ±8, if the audio
        is longer or decoding takes longer than the limits, or if the sample rate or channel count
        changes to one that is not accepted; passes on errors of the file object. A second call
        continues where the first one stopped.
        """
        while True:
            with self._lock, self._source.at_work():
                block = next(self._samples, None)
            if block is None:
                return
            self.samples_read += block.size
            if self.samples_read > self._limits.max_duration_s * SAMPLE_RATE:
                raise duration_error(self._limits)
            yield block

    __iter__ = blocks

    def close(self) -> None:
        """Release libav's memory, also if called again; the file stays open."""
        with self._lock:
            self._samples.close()  # first: a closed container must not be read
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


def _refuse_open(*_url: object) -> BinaryIO:
    """Refuse to open other files that a container names; PyAV's hook for `io_open`."""
    raise decode_error()


def _open_track(
    container: InputContainer, source: MediaSource, audio_track: int | None, limits: MediaLimits
) -> AudioStream:
    """Open the decoder of an audio track, and make libav skip all other streams."""
    tracks = container.streams.audio
    if not tracks:
        raise source.without_audio_error()
    if audio_track is None:
        # Matroska, MP4 and MOV have this flag; in other containers it is not set.
        flagged = (track for track in tracks if track.disposition & Disposition.default)
        chosen = next(flagged, tracks[0])
    elif audio_track < len(tracks):
        chosen = tracks[audio_track]
    else:
        raise track_error(audio_track, len(tracks))
    for stream in container.streams:
        if stream is not chosen:
            stream.discard = Discard.all
    decoder: AudioCodecContext | None = chosen.codec_context
    # None if libav has no decoder; and PyAV's own decoder ignores codec_whitelist.
    if decoder is None or decoder.name not in _DECODERS.split(","):
        raise decode_error()
    if decoder.sample_rate and decoder.channels:  # else the first frame has them
        check_shape(decoder.sample_rate, decoder.channels, limits)
    decoder.thread_count = 1  # the other cores are for the models
    decoder.open(strict=False)
    return chosen

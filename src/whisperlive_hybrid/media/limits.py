"""The limits for one file, and the errors for files that are refused."""

from dataclasses import dataclass

from whisperlive_hybrid.errors import BadAudio


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """The limits for one file.

    `max_duration_s` counts decoded audio, not the container's claim. `max_decode_s` is wall time
    inside this package: it includes reading the file, not the consumer's time between blocks; None
    for no limit. `max_silent_s` is the same up to the first sample or from one to the next, since a
    large file may contain no audio. Sample rates are in Hz.
    """

    max_duration_s: float = 6 * 3600.0
    max_decode_s: float | None = 600.0
    max_silent_s: float | None = 30.0
    min_sample_rate: int = 4_000
    max_sample_rate: int = 384_000
    max_channels: int = 8


def check_shape(rate: int, channels: int, limits: MediaLimits) -> None:
    """Raise `BadAudio` for a sample rate or number of channels outside the limits."""
    # A low rate makes much output from little input: 7 kB at 1 Hz are two hours at 16 kHz.
    if not limits.min_sample_rate <= rate <= limits.max_sample_rate:
        allowed = f"{limits.min_sample_rate} to {limits.max_sample_rate} Hz"
        raise _format_error(f"The audio has a sample rate of {rate} Hz; accepted are {allowed}.")
    if not 1 <= channels <= limits.max_channels:
        raise _format_error(
            f"The audio has {channels} channels; accepted are 1 to {limits.max_channels}."
        )


def empty_error() -> BadAudio:
    """Return the error for a file without a byte."""
    return BadAudio("The audio file is empty.", param="file")


def decode_error(begins_like: str | None = None) -> BadAudio:
    """Return the error for bytes that cannot be decoded, with the message of the OpenAI API.

    `begins_like` is the format of the first bytes.
    """
    message = "The audio file could not be decoded or its format is not supported."
    if begins_like is not None:
        message += (
            f" It begins like {begins_like} but cannot be read: it was probably cut off or damaged."
        )
    return BadAudio(message, param="file")


def truncation_error() -> BadAudio:
    """Return the error for an MP4 whose end, and so its index, is missing."""
    return BadAudio(
        "The file was cut off, or its recording was never finished: its index (moov), without "
        "which an MP4, M4A, MOV or 3GP file cannot be read, is missing. Send the whole file.",
        param="file",
        code="audio_incomplete",
    )


def track_error(audio_track: int, count: int) -> BadAudio:
    """Return the error for a track number beyond the `count` audio tracks."""
    has = "1 audio track" if count == 1 else f"{count} audio tracks"
    allowed = "0" if count == 1 else f"0 to {count - 1}"
    return BadAudio(
        f"The file has {has}, so audio_track must be {allowed}, not {audio_track}.",
        param="audio_track",
        code="invalid_value",
    )


def scale_error() -> BadAudio:
    """Return the error for floats in the scale of integers, all of which would be muted."""
    return _format_error(
        "Most samples of the file are far beyond full scale. "
        "Samples that are stored as floats must lie between -1 and 1."
    )


def duration_error(limits: MediaLimits) -> BadAudio:
    """Return the error for audio beyond the limit."""
    return BadAudio(
        f"The audio is longer than the limit of {limits.max_duration_s:g} seconds.",
        param="file",
        code="audio_too_long",
    )


def timeout_error(max_decode_s: float) -> BadAudio:
    """Return the error for decoding that took too long."""
    return BadAudio(
        f"The audio could not be decoded within {max_decode_s:g} seconds.",
        param="file",
        code="audio_decode_timeout",
    )


def no_audio_error(max_silent_s: float) -> BadAudio:
    """Return the error for decoding that finds no audio for too long."""
    return BadAudio(
        f"No audio was found in {max_silent_s:g} seconds of decoding.",
        param="file",
        code="audio_decode_timeout",
    )


def _format_error(message: str) -> BadAudio:
    return BadAudio(message, param="file", code="audio_unsupported")

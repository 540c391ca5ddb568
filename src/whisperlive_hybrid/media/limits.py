"""How much one file may ask of us, and the words in which it is refused."""

from dataclasses import dataclass

from whisperlive_hybrid.errors import BadAudio


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """How much one file may ask of us.

    `max_duration_s` counts decoded audio, whatever the container claims. `max_decode_s` is wall
    time inside this module, reading the file included, the consumer's time between two blocks
    not; None lifts it. `max_silent_s` is the same from one sample to the next, or to the first: a
    file may be large and hold no audio that can be found. Sample rates in Hz.
    """

    max_duration_s: float = 6 * 3600.0
    max_decode_s: float | None = 600.0
    max_silent_s: float | None = 30.0
    min_sample_rate: int = 4_000
    max_sample_rate: int = 384_000
    max_channels: int = 8


def check_shape(rate: int, channels: int, limits: MediaLimits) -> None:
    """Refuse what would make much out of little: 7 kB at 1 Hz are two hours at 16 kHz."""
    if not limits.min_sample_rate <= rate <= limits.max_sample_rate:
        allowed = f"{limits.min_sample_rate} to {limits.max_sample_rate} Hz"
        raise _refused(f"The audio has a sample rate of {rate} Hz; accepted are {allowed}.")
    if not 1 <= channels <= limits.max_channels:
        raise _refused(
            f"The audio has {channels} channels; accepted are 1 to {limits.max_channels}."
        )


def empty() -> BadAudio:
    """Say that there is not one byte."""
    return BadAudio("The audio file is empty.", param="file")


def undecodable(begins_like: str | None = None) -> BadAudio:
    """Say, in the words of the OpenAI API, that nothing could be made of the bytes.

    `begins_like` is the format that their first ones promise.
    """
    message = "The audio file could not be decoded or its format is not supported."
    if begins_like is not None:
        message += (
            f" It begins like {begins_like} but cannot be read: it was probably cut off or damaged."
        )
    return BadAudio(message, param="file")


def cut_off() -> BadAudio:
    """Say that the end of an MP4 is missing, and with it the index."""
    return BadAudio(
        "The file was cut off, or its recording was never finished: its index (moov), without "
        "which an MP4, M4A, MOV or 3GP file cannot be read, is missing. Send the whole file.",
        param="file",
        code="audio_incomplete",
    )


def no_such_track(audio_track: int, count: int) -> BadAudio:
    """Say how many audio tracks there are, where another one was asked for."""
    has = "1 audio track" if count == 1 else f"{count} audio tracks"
    allowed = "0" if count == 1 else f"0 to {count - 1}"
    return BadAudio(
        f"The file has {has}, so audio_track must be {allowed}, not {audio_track}.",
        param="audio_track",
        code="invalid_value",
    )


def out_of_scale() -> BadAudio:
    """Say that floats were stored in the scale of integers: all of it would be silence."""
    return _refused(
        "Most samples of the file are far beyond full scale. "
        "Samples that are stored as floats must lie between -1 and 1."
    )


def too_long(limits: MediaLimits) -> BadAudio:
    """Say that there is more audio than allowed."""
    return BadAudio(
        f"The audio is longer than the limit of {limits.max_duration_s:g} seconds.",
        param="file",
        code="audio_too_long",
    )


def too_slow(max_decode_s: float) -> BadAudio:
    """Say that the work took too long."""
    return BadAudio(
        f"The audio could not be decoded within {max_decode_s:g} seconds.",
        param="file",
        code="audio_decode_timeout",
    )


def no_progress(max_silent_s: float) -> BadAudio:
    """Say that there is nothing to hear, however long one looks."""
    return BadAudio(
        f"No audio was found in {max_silent_s:g} seconds of decoding.",
        param="file",
        code="audio_decode_timeout",
    )


def _refused(message: str) -> BadAudio:
    return BadAudio(message, param="file", code="audio_unsupported")

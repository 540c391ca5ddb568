"""`vad_parameters`: faster-whisper's names for the cutting of silence, as both doors read them."""

from dataclasses import replace
from typing import Final, Protocol

from whisperlive_hybrid.speech.regions import VadOptions

VAD_PARAMETERS: Final = ("threshold", "min_silence_duration_ms", "speech_pad_ms")
"""Those that are honoured."""


class ReadNumber(Protocol):
    """Reads one of them from wherever a client has written it; raises `BadRequest`."""

    def __call__(self, name: str, default: float, low: float, high: float, /) -> float:
        """The number, or `default` where none was given."""


def vad_options(number: ReadNumber, defaults: VadOptions, *, enabled: bool) -> VadOptions:
    """The options that a client asked for, and `defaults` where it did not say."""
    silence_ms, pad_ms = defaults.min_silence_s * 1000, defaults.pre_roll_s * 1000
    return replace(
        defaults,
        enabled=enabled,
        threshold=number("threshold", defaults.threshold, 0.01, 0.99),
        min_silence_s=number("min_silence_duration_ms", silence_ms, 100, 5000) / 1000,
        pre_roll_s=number("speech_pad_ms", pad_ms, 0, 2000) / 1000,
    )

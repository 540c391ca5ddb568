"""`vad_parameters`: faster-whisper's names for the removal of silence, for files and live."""

from dataclasses import replace
from typing import Final, Protocol

from whisperlive_hybrid.speech.regions import VadOptions

VAD_PARAMETERS: Final = ("threshold", "min_silence_duration_ms", "speech_pad_ms")
"""The supported ones."""


class ReadNumber(Protocol):
    """Reads one parameter from a request."""

    def __call__(self, name: str, default: float, low: float, high: float, /) -> float:
        """Return the number, or `default` without one; raise `BadRequest` outside the bounds."""


def vad_options(number: ReadNumber, defaults: VadOptions, *, enabled: bool) -> VadOptions:
    """Return the options of a request, with `defaults` for what it leaves out."""
    silence_ms, pad_ms = defaults.min_silence_s * 1000, defaults.pre_roll_s * 1000
    return replace(
        defaults,
        enabled=enabled,
        threshold=number("threshold", defaults.threshold, 0.01, 0.99),
        min_silence_s=number("min_silence_duration_ms", silence_ms, 100, 5000) / 1000,
        pre_roll_s=number("speech_pad_ms", pad_ms, 0, 2000) / 1000,
    )

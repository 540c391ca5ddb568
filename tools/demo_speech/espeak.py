"""espeak-ng through ctypes: a waveform with the times of its words and phones.

The command gives the sound alone; the library's events have the start of each word and phone, with
which the encoder and the cross-attention learn in minutes.
"""

import ctypes
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from whisperlive_hybrid.errors import Unsupported

SAMPLE_RATE = 22050  # of every espeak-ng voice, in Hz

# Names and numbers of espeak-ng's speak_lib.h.
_AUDIO_OUTPUT_RETRIEVAL = 1
_INITIALIZE_PHONEME_EVENTS = 1
_INITIALIZE_PHONEME_IPA = 2
_EVENT_END_OF_LIST, _EVENT_WORD, _EVENT_PHONEME = 0, 1, 7
_PARAMETER_RATE, _PARAMETER_PITCH, _PARAMETER_RANGE = 1, 3, 4
_POSITION_CHARACTER, _CHARACTERS_UTF8 = 1, 1


@dataclass(frozen=True, slots=True)
class WordMark:
    """The start of a word: time in s, 1-based position in the text and length in characters."""

    start: float
    position: int
    length: int


@dataclass(frozen=True, slots=True)
class PhoneMark:
    """The start of a phone: time in s and name in IPA ("" for a pause)."""

    start: float
    name: str


@dataclass(frozen=True, slots=True)
class Speech:
    """Speech of espeak-ng: (n,) float32 at `SAMPLE_RATE`, with its marks in order of time."""

    samples: NDArray[np.float32]
    words: tuple[WordMark, ...]
    phones: tuple[PhoneMark, ...]


class _Identifier(ctypes.Union):
    _fields_ = (
        ("number", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("string", ctypes.c_char * 8),
    )


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # ms
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Identifier),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class Espeak:
    """The open library. Its state is global in the process: close it before opening another.

    A second open library would block forever.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._pieces: list[NDArray[np.int16]] = []
        self._words: list[WordMark] = []
        self._phones: list[PhoneMark] = []
        self._callback = _Callback(self._receive)  # the library keeps a bare pointer to it

    @classmethod
    def open(cls) -> "Espeak":
        """Load and initialise libespeak-ng. Raises `Unsupported` if it is not installed."""
        try:
            espeak = cls(ctypes.CDLL("libespeak-ng.so.1"))
        except OSError as error:
            raise Unsupported(
                "espeak-ng is not installed; on Debian and Ubuntu: apt install espeak-ng."
            ) from error
        flags = _INITIALIZE_PHONEME_EVENTS | _INITIALIZE_PHONEME_IPA
        rate = espeak._library.espeak_Initialize(_AUDIO_OUTPUT_RETRIEVAL, 0, None, flags)
        if rate != SAMPLE_RATE:
            raise OSError(f"espeak-ng gave a sample rate of {rate} Hz, expected {SAMPLE_RATE}")
        espeak._library.espeak_SetSynthCallback(espeak._callback)
        return espeak

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._library.espeak_Terminate()

    def speak(
        self,
        text: str,
        voice: str,
        *,
        words_per_minute: int,
        pitch: int = 50,
        pitch_range: int = 50,
    ) -> Speech:
        """Speak `text`; pitch and its range run from 0 to 100."""
        self._pieces.clear()
        self._words.clear()
        self._phones.clear()
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"espeak-ng has no voice {voice!r}")
        self._library.espeak_SetParameter(_PARAMETER_RATE, words_per_minute, 0)
        self._library.espeak_SetParameter(_PARAMETER_PITCH, pitch, 0)
        self._library.espeak_SetParameter(_PARAMETER_RANGE, pitch_range, 0)
        encoded = text.encode()
        size = ctypes.c_size_t(len(encoded) + 1)
        self._library.espeak_Synth(
            encoded, size, 0, _POSITION_CHARACTER, 0, _CHARACTERS_UTF8, None, None
        )
        self._library.espeak_Synchronize()
        samples = np.concatenate([np.zeros(0, np.int16), *self._pieces])
        return Speech(
            samples.astype(np.float32) / np.float32(32768), tuple(self._words), tuple(self._phones)
        )

    # ctypes passes pointers, for which it has no static type.
    def _receive(self, samples: Any, count: int, events: Any) -> int:  # noqa: ANN401
        """Append a piece of sound and its events; return 0 to continue the synthesis."""
        if count > 0 and samples:
            self._pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while events[index].type != _EVENT_END_OF_LIST:
            event = events[index]
            start = event.audio_position / 1000
            if event.type == _EVENT_WORD:
                self._words.append(WordMark(start, event.text_position, event.length))
            elif event.type == _EVENT_PHONEME:
                # The eight bytes may be full, without a zero at the end.
                name = bytes(event.id.string).split(b"\0")[0].decode("utf8", "replace")
                self._phones.append(PhoneMark(start, name))
            index += 1
        return 0


def to_16_khz(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Resample (n,) float32 from 22,050 to 16,000 Hz in the frequency domain.

    The sound is padded with silence to whole tenths of a second, where both rates have whole
    samples.
    """
    tenths = -(-len(samples) // 2205)
    spectrum = np.fft.rfft(np.pad(samples, (0, tenths * 2205 - len(samples))))
    kept = spectrum[: tenths * 800 + 1]
    return (np.fft.irfft(kept, tenths * 1600) * (1600 / 2205)).astype(np.float32)

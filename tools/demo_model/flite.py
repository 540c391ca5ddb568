"""flite's English voices: a second synthesiser, so that the model learns more than espeak-ng."""

import subprocess
import tempfile
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16000  # of the four voices, in Hz
VOICES = ("kal16", "slt", "rms", "awb")
_PHONE_NAMES = (
    "aa ae ah ao aw ax ay b ch d dh eh er ey f g hh ih iy jh k l m n ng ow oy p r s sh t th uh uw "
    "v w y z zh"
)
PHONES = tuple(_PHONE_NAMES.split())
PAUSE = "pau"


@dataclass(frozen=True, slots=True)
class Phone:
    """One phone with its times in s."""

    start: float
    end: float
    name: str

    @property
    def is_sound(self) -> bool:
        """True for a sound of speech, False for a pause."""
        return self.name in PHONES


@dataclass(frozen=True, slots=True)
class Speech:
    """Speech of flite: (n,) int16 at `SAMPLE_RATE`, with its phones in order of time."""

    samples: NDArray[np.int16]
    phones: tuple[Phone, ...]


class Flite:
    """The flite command, with a cache of the number of phones of each word."""

    def __init__(self) -> None:
        self._phones_in_word: dict[str, int] = {}

    def speak(self, text: str, voice: str, *, stretch: float) -> Speech:
        """Speak `text`, `stretch` times as slowly as the voice by default."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "speech.wav"
            phones = _synthesise(text, voice, stretch, str(path))
            with wave.open(str(path)) as file:
                if file.getframerate() != SAMPLE_RATE:
                    raise OSError(f"flite gave {file.getframerate()} Hz, expected {SAMPLE_RATE}")
                samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
            return Speech(samples, phones)

    def phones_in(self, word: str) -> int:
        """Return the number of phones of a word that flite speaks alone."""
        bare = word.strip(".,?")
        if bare not in self._phones_in_word:
            # "none" is flite's name for no output file.
            phones = _synthesise(bare, "kal16", 1.0, "none")
            self._phones_in_word[bare] = sum(phone.name != PAUSE for phone in phones)
        return self._phones_in_word[bare]


def _synthesise(text: str, voice: str, stretch: float, out: str) -> tuple[Phone, ...]:
    """Run flite, whose -psdur prints "name:end" for every phone."""
    command = ["flite", "-voice", voice, "--setf", f"duration_stretch={stretch:.3f}", "-psdur"]
    printed = subprocess.run(
        [*command, "-t", text, "-o", out], capture_output=True, text=True, check=True
    ).stdout
    phones: list[Phone] = []
    for item in printed.split():
        name, end = item.split(":")
        phones.append(Phone(phones[-1].end if phones else 0.0, float(end), name))
    return tuple(phones)

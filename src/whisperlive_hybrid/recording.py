"""A media file from its bytes to a transcript: opened with care, read, and judged for length."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import BinaryIO, Final, Protocol

import anyio
import anyio.to_thread

from whisperlive_hybrid.errors import BadAudio
from whisperlive_hybrid.transcribe import (
    NO_MEMORY,
    FileRequest,
    Memory,
    OnAdvance,
    Transcriber,
    Transcript,
)
from whisperlive_hybrid.types import SAMPLE_RATE, Samples

SHORTEST_AUDIO_S: Final = 0.1
"""OpenAI refuses less."""

FILES_OPENED_AT_ONCE: Final = 2
"""Opening costs the most memory: a hostile index takes up to 850 MB for some seconds (measured)."""


class AudioReader(Protocol):
    """An opened recording."""

    @property
    def duration_s(self) -> float | None:
        """The length that the file claims, before anything is decoded."""

    def blocks(self) -> Iterator[Samples]:
        """(n,) float32 arrays, mono, 16 kHz."""


class OpenMedia(Protocol):
    """Opens a file; called and entered in a thread."""

    def __call__(
        self, file: BinaryIO, /, *, audio_track: int | None
    ) -> AbstractContextManager[AudioReader]:
        """Open the track asked for, None for the file's default one.

        Raises `BadAudio` for what is no audio and for a track that is not there.
        """


Heard = Callable[[float], None]
"""Told how many seconds of audio were read."""


def ignored(_: float) -> None:
    """Nobody counts."""


class Recordings:
    """Reads media files; all doors and jobs share what bounds how many they open together."""

    def __init__(
        self,
        open_media: OpenMedia,
        heard: Heard = ignored,
        opening: anyio.CapacityLimiter | None = None,
    ) -> None:
        """`heard` is told of all audio that is read, in a thread."""
        self._open_media = open_media
        self._heard = heard
        self._opening = opening or anyio.CapacityLimiter(FILES_OPENED_AT_ONCE)

    def heard_by(self, heard: Heard) -> "Recordings":
        """The same for another door, whose audio is told to `heard`."""
        return Recordings(self._open_media, heard, self._opening)

    async def transcript(
        self,
        file: BinaryIO,
        transcriber: Transcriber,
        plan: Callable[[float | None], FileRequest],
        on_advance: OnAdvance,
        memory: Memory = NO_MEMORY,
        audio_track: int | None = None,
    ) -> Transcript:
        """Read a file to its end; `plan` is told the length that it claims, and says how.

        `audio_track` counts from 0 among the file's audio tracks; None is its default one.

        Raises `BadAudio`, and what `Transcriber.transcript` raises.
        """
        with ExitStack() as opened:
            audio = await anyio.to_thread.run_sync(
                lambda: opened.enter_context(self._open_media(file, audio_track=audio_track)),
                limiter=self._opening,
            )
            wish = plan(audio.duration_s)
            blocks = self._counted(audio.blocks())
            transcript = await transcriber.transcript(blocks, wish, on_advance, memory)
        if transcript.duration < SHORTEST_AUDIO_S:
            raise BadAudio(
                f"Audio file is too short. Minimum audio length is {SHORTEST_AUDIO_S} seconds.",
                param="file",
                code="audio_too_short",
            )
        return transcript

    def _counted(self, blocks: Iterator[Samples]) -> Iterator[Samples]:
        for block in blocks:
            self._heard(len(block) / SAMPLE_RATE)
            yield block

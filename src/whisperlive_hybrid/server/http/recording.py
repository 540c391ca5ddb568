"""Recordings of requests: opened, read by a model, and given up when their client has gone."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import BinaryIO, Final, Protocol

import anyio
import anyio.to_thread
from starlette.requests import Request

from whisperlive_hybrid.errors import BadAudio
from whisperlive_hybrid.server.http.upload import Upload, while_connected
from whisperlive_hybrid.speech.regions import VadOptions
from whisperlive_hybrid.transcribe import FileRequest, Transcriber, Transcript
from whisperlive_hybrid.types import DecodeOptions, Samples, Urgency

SHORTEST_AUDIO_S: Final = 0.1
"""OpenAI refuses less."""

SHORT_FILE_S: Final = 60.0
"""Up to this length a caller is taken to wait for the answer."""

SHORT_FILE_BYTES: Final = 512 * 1024
"""The same for files that do not claim a length: 60 s of Opus at a high rate."""

FILES_OPENED_AT_ONCE: Final = 2
"""Opening costs the most memory: a hostile index takes up to 850 MB for some seconds (measured)."""


class AudioReader(Protocol):
    """An opened recording."""

    @property
    def duration_s(self) -> float | None:
        """The length that the file claims, before anything is decoded."""

    def blocks(self) -> Iterator[Samples]:
        """(n,) float32 arrays, mono, 16 kHz."""


OpenMedia = Callable[[BinaryIO], AbstractContextManager[AudioReader]]
"""Opens an upload; called and entered in a thread. Raises `BadAudio` for what is no audio."""


class Listener:
    """Turns the upload of a request into a transcript."""

    def __init__(self, open_media: OpenMedia) -> None:
        self._open_media = open_media
        self._opening = anyio.CapacityLimiter(FILES_OPENED_AT_ONCE)

    async def transcript(
        self,
        request: Request,
        upload: Upload,
        transcriber: Transcriber,
        options: DecodeOptions,
        vad: VadOptions,
    ) -> Transcript:
        """Read an upload to its end.

        Raises `BadAudio`, what `Transcriber.transcript` raises, and `ClientDisconnect` when nobody
        waits for the answer any more.
        """
        transcriber.capabilities.check(options)  # before any decoding
        return await while_connected(request, lambda: self._read(upload, transcriber, options, vad))

    async def _read(
        self, upload: Upload, transcriber: Transcriber, options: DecodeOptions, vad: VadOptions
    ) -> Transcript:
        with ExitStack() as opened:
            audio = await anyio.to_thread.run_sync(
                lambda: opened.enter_context(self._open_media(upload.file)),
                limiter=self._opening,
            )
            wish = FileRequest(options, vad, _urgency(audio.duration_s, upload.size))
            transcript = await transcriber.transcript(audio.blocks(), wish)
        if transcript.duration < SHORTEST_AUDIO_S:
            raise BadAudio(
                f"Audio file is too short. Minimum audio length is {SHORTEST_AUDIO_S} seconds.",
                param="file",
                code="audio_too_short",
            )
        return transcript


def _urgency(claimed_s: float | None, size: int) -> Urgency:
    """A caller waits for a short file; what a browser records does not say how long it is."""
    is_short = size <= SHORT_FILE_BYTES if claimed_s is None else claimed_s <= SHORT_FILE_S
    return Urgency.SHORT_FILE if is_short else Urgency.BULK

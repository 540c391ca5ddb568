"""Recordings of requests: read by a model, and given up when their client has gone."""

from functools import partial
from typing import Final

from starlette.requests import Request

from whisperlive_hybrid.recording import Recordings
from whisperlive_hybrid.server.http.upload import Upload, while_connected
from whisperlive_hybrid.speech.regions import VadOptions
from whisperlive_hybrid.transcribe import FileRequest, OnAdvance, Transcriber, Transcript, ignore
from whisperlive_hybrid.types import DecodeOptions, Urgency

SHORT_FILE_S: Final = 60.0
"""Up to this length a caller is taken to wait for the answer."""

SHORT_FILE_BYTES: Final = 512 * 1024
"""The same for files that do not claim a length: 60 s of Opus at a high rate."""


class Listener:
    """Turns the upload of a request into a transcript."""

    def __init__(self, recordings: Recordings) -> None:
        self._recordings = recordings

    async def transcript(
        self,
        request: Request,
        upload: Upload,
        transcriber: Transcriber,
        options: DecodeOptions,
        vad: VadOptions,
        on_advance: OnAdvance = ignore,
    ) -> Transcript:
        """Read an upload to its end.

        Raises `BadAudio`, what `Transcriber.transcript` raises, and `ClientDisconnect` when nobody
        waits for the answer any more.
        """
        transcriber.capabilities.check(options)  # before any decoding

        def plan(claimed_s: float | None) -> FileRequest:
            return FileRequest(options, vad, _urgency(claimed_s, upload.size))

        return await while_connected(
            request,
            partial(self._recordings.transcript, upload.file, transcriber, plan, on_advance),
        )


def _urgency(claimed_s: float | None, size: int) -> Urgency:
    """A caller waits for a short file; what a browser records does not say how long it is."""
    is_short = size <= SHORT_FILE_BYTES if claimed_s is None else claimed_s <= SHORT_FILE_S
    return Urgency.SHORT_FILE if is_short else Urgency.BULK

"""Upload files to an HTTP server: one after another as load, or one to measure."""

import io
import json
import time
import wave
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import anyio
import numpy as np

from whisperlive_hybrid.bench.corpus import Recording
from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.types import SAMPLE_RATE, Samples

PATH: Final = "/v1/audio/transcriptions"

OK: Final = 200

BACK_OFF_S: Final = 1.0
"""Pause after a file that was not transcribed."""

_BOUNDARY: Final = "whisperlive-bench-7d1f"


@dataclass(slots=True)
class FileTally:
    """Counts of the uploads while the streams ran."""

    completed: int = 0
    refused: int = 0
    """Requests without a response of status 200."""
    audio_s: float = 0.0
    """Of completed files."""
    busy_s: float = 0.0
    """Time that the completed files took, summed over concurrent uploads."""

    @property
    def audio_s_per_s(self) -> float | None:
        """Audio seconds per second of one upload, over completed files."""
        return self.audio_s / self.busy_s if self.busy_s else None


def parse_http_url(url: str) -> tuple[str, int]:
    """Return host and port of an HTTP server. Raises `BadRequest` unless http://host:port."""
    try:
        parts = urlsplit(url)
        port = parts.port or 80
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme != "http" or not parts.hostname:
        raise BadRequest(f"--http-url is {url!r}; it must be http://host:port.")
    return parts.hostname, port


async def keep_in_flight(url: str, samples: Samples, tally: FileTally) -> None:
    """Upload the same file again and again, one at a time, until cancelled."""
    host, port = parse_http_url(url)
    wav = io.BytesIO()
    with wave.open(wav, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(SAMPLE_RATE)
        writer.writeframes(np.rint(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    request = _build_request(f"{host}:{port}", wav.getvalue())
    while True:
        began = anyio.current_time()
        status = await _post(host, port, request)
        if status == OK:
            tally.completed += 1
            tally.audio_s += len(samples) / SAMPLE_RATE
            tally.busy_s += anyio.current_time() - began
        else:
            tally.refused += 1
            await anyio.sleep(BACK_OFF_S)


async def _post(host: str, port: int, request: bytes) -> int:
    """Send a request and return the status of its response; 0 without a response."""
    response = bytearray()
    try:
        # A connection for each request: cancellation then leaves no response half read.
        async with await anyio.connect_tcp(host, port) as socket:
            await socket.send(request)
            async for received in socket:
                response += received
    except (OSError, anyio.BrokenResourceError):
        return 0
    status = response.split(b" ", 2)[1:2]
    return int(status[0]) if status and status[0].isdigit() else 0


def _build_request(host: str, wav: bytes) -> bytes:
    """Build an upload as a browser sends it, whose response closes the connection."""
    body = b"".join(
        (
            f"--{_BOUNDARY}\r\n".encode(),
            b'Content-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n',
            f"--{_BOUNDARY}\r\n".encode(),
            b'Content-Disposition: form-data; name="file"; filename="bench.wav"\r\n',
            b"Content-Type: audio/wav\r\n\r\n",
            wav,
            f"\r\n--{_BOUNDARY}--\r\n".encode(),
        )
    )
    head = (
        f"POST {PATH} HTTP/1.1",
        f"Host: {host}",
        f"Content-Type: multipart/form-data; boundary={_BOUNDARY}",
        f"Content-Length: {len(body)}",
        "Connection: close",
        "\r\n",
    )
    return "\r\n".join(head).encode() + body


_CHUNK: Final = 256 * 1024  # bytes


@dataclass(frozen=True, slots=True)
class UploadResult:
    """The result of an upload."""

    text: str
    seconds: float
    """From the first byte sent to the last byte received."""


def upload_recording(url: str, recording: Recording) -> UploadResult:
    """Upload a recording with its language and return the text; blocks, so use a thread.

    The file is read while it is sent. Raises `BadRequest` unless the response has status 200.
    """
    host, port = parse_http_url(url)
    fields = {"model": "whisper-1", "language": recording.language, "response_format": "json"}
    text = "".join(
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    text += (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; '
        f'filename="{recording.file.name}"\r\nContent-Type: application/octet-stream\r\n\r\n'
    )
    head, tail = text.encode(), f"\r\n--{_BOUNDARY}--\r\n".encode()
    headers = {
        "Content-Type": f"multipart/form-data; boundary={_BOUNDARY}",
        "Content-Length": str(len(head) + recording.file.stat().st_size + len(tail)),
    }
    began = time.monotonic()
    with closing(HTTPConnection(host, port)) as connection:
        try:
            connection.request("POST", PATH, _stream_body(head, recording.file, tail), headers)
            response = connection.getresponse()
            status, body = response.status, response.read()
        except (OSError, HTTPException) as error:
            raise BadRequest(f"The HTTP server at {url} did not respond: {error}.") from error
    seconds = time.monotonic() - began
    if status != OK:
        raise BadRequest(
            f"The HTTP server answered {status}: {body[:200].decode(errors='replace')}"
        )
    return UploadResult(str(json.loads(body)["text"]), seconds)


def _stream_body(head: bytes, file: Path, tail: bytes) -> Iterator[bytes]:
    yield head
    with file.open("rb") as opened:
        while chunk := opened.read(_CHUNK):
            yield chunk
    yield tail

"""One upload to the file door, as a client sends it, and how long its answer took."""

import json
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final

from whisperlive_hybrid.bench.files import OK, PATH, address
from whisperlive_hybrid.bench.recording import Recording
from whisperlive_hybrid.errors import BadRequest

_BOUNDARY: Final = "whisperlive-bench-7d1f"
_CHUNK: Final = 256 * 1024  # bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    text: str
    seconds: float
    """From the first byte sent to the last byte received."""


def transcribed(url: str, recording: Recording) -> Answer:
    """Upload a recording with its language and wait for the text; blocks, so use a thread.

    The file is read as it is sent. Raises `BadRequest` if the server does not answer with 200.
    """
    host, port = address(url)
    head, tail = _around(recording)
    length = len(head) + recording.file.stat().st_size + len(tail)
    headers = {
        "Content-Type": f"multipart/form-data; boundary={_BOUNDARY}",
        "Content-Length": str(length),
    }
    began = time.monotonic()
    with closing(HTTPConnection(host, port)) as connection:
        try:
            connection.request("POST", PATH, _body(head, recording.file, tail), headers)
            response = connection.getresponse()
            status, body = response.status, response.read()
        except (OSError, HTTPException) as error:
            raise BadRequest(f"The file door at {url} gave no answer: {error}.") from error
    seconds = time.monotonic() - began
    if status != OK:
        raise BadRequest(f"The file door answered {status}: {body[:200].decode(errors='replace')}")
    return Answer(str(json.loads(body)["text"]), seconds)


def _body(head: bytes, file: Path, tail: bytes) -> Iterator[bytes]:
    yield head
    with file.open("rb") as opened:
        while chunk := opened.read(_CHUNK):
            yield chunk
    yield tail


def _around(recording: Recording) -> tuple[bytes, bytes]:
    """What stands before and behind the file in the form."""
    fields = {"model": "whisper-1", "language": recording.language, "response_format": "json"}
    head = "".join(
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    head += (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; '
        f'filename="{recording.file.name}"\r\nContent-Type: application/octet-stream\r\n\r\n'
    )
    return head.encode(), f"\r\n--{_BOUNDARY}--\r\n".encode()

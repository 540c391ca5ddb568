"""One upload to a scripted server."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from whisperlive_hybrid.bench.corpus import Recording
from whisperlive_hybrid.bench.http_client import upload_recording
from whisperlive_hybrid.errors import BadRequest


@contextmanager
def _open_server(status: int, answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Run a server with one response for all; yields its URL and the received bodies."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name there)
            """Log nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", bodies
        server.shutdown()
        thread.join()


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    """A file that is longer than one chunk of the upload."""
    file = tmp_path / "long.flac"
    file.write_bytes(b"audio " * 100_000)
    return Recording(file, "en", ("hello",), 1.0)


def test_the_whole_file_arrives_with_its_language(recording: Recording) -> None:
    """The form is complete to its last boundary, and the text comes back."""
    with _open_server(200, b'{"text": "Hello."}') as (url, bodies):
        answer = upload_recording(url, recording)
    assert answer.text == "Hello."
    assert answer.seconds > 0
    assert recording.file.read_bytes() in bodies[0]
    assert b'name="language"\r\n\r\nen\r\n' in bodies[0]
    assert bodies[0].endswith(b"--\r\n")


def test_a_refusal_is_an_error(recording: Recording) -> None:
    """A busy server gives no figure."""
    with (
        _open_server(429, b"later") as (url, _),
        pytest.raises(BadRequest, match="answered 429: later"),
    ):
        upload_recording(url, recording)


def test_a_server_that_is_not_there_is_an_error(recording: Recording) -> None:
    """Without a listening server: one line, no stack."""
    with pytest.raises(BadRequest, match="did not respond"):
        upload_recording("http://127.0.0.1:1", recording)

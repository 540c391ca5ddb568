"""Repeated uploads to a scripted HTTP server."""

import io
import re
import wave

import anyio
import anyio.abc
import numpy as np
import pytest

from whisperlive_hybrid.bench.http_client import FileTally, keep_in_flight, parse_http_url
from whisperlive_hybrid.errors import BadRequest

pytestmark = pytest.mark.anyio


class _Server:
    """Responds with the given statuses, then sets `done`."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.requests: list[bytes] = []
        self.done = anyio.Event()

    async def answer(self, socket: anyio.abc.SocketStream) -> None:
        async with socket:
            if not self.statuses:
                self.done.set()
                await anyio.sleep_forever()
            request = b""
            while not request.endswith(b"--\r\n"):
                request += await socket.receive()
            self.requests.append(request)
            await socket.send(f"HTTP/1.1 {self.statuses.pop(0)} Answer\r\n\r\n{{}}".encode())


async def _send_to(server: _Server) -> FileTally:
    """Upload a file of half a second repeatedly until the server has sent all its responses."""
    tally = FileTally()
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    port = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610 (no Django here)
    samples = np.zeros(8000, np.float32)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, server.answer)
        tasks.start_soon(keep_in_flight, f"http://127.0.0.1:{port}", samples, tally)
        await server.done.wait()
        tasks.cancel_scope.cancel()
    return tally


async def test_completed_files_are_counted_with_their_audio() -> None:
    """Two answers of 200 are one second of audio; the file in flight at the end counts nowhere."""
    tally = await _send_to(_Server(200, 200))
    assert (tally.completed, tally.refused, tally.audio_s) == (2, 0, 1.0)
    assert tally.busy_s > 0
    assert tally.audio_s_per_s == pytest.approx(1.0 / tally.busy_s)


async def test_a_refused_file_is_counted_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy server costs no audio seconds, and the next try follows."""
    monkeypatch.setattr("whisperlive_hybrid.bench.http_client.BACK_OFF_S", 0.0)
    tally = await _send_to(_Server(429, 200))
    assert (tally.completed, tally.refused, tally.audio_s) == (1, 1, 0.5)


async def test_the_request_is_an_upload_of_a_wav() -> None:
    """A multipart form with the model and a mono 16 kHz WAV, of the length that it claims."""
    server = _Server(200)
    await _send_to(server)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/audio/transcriptions HTTP/1.1\r\n")
    length = re.search(rb"Content-Length: (\d+)", head)
    assert length
    assert int(length[1]) == len(body)
    with wave.open(io.BytesIO(body[body.index(b"RIFF") :])) as audio:
        assert (audio.getnchannels(), audio.getframerate(), audio.getnframes()) == (1, 16_000, 8000)


async def test_nothing_done_is_no_throughput() -> None:
    """Without a completed file there is no figure."""
    assert FileTally().audio_s_per_s is None


@pytest.mark.parametrize("url", ["", "https://host:1", "host:8080", "http://", "http://host:x"])
async def test_other_addresses_are_refused(url: str) -> None:
    """Only http:// with a host is valid."""
    with pytest.raises(BadRequest, match="must be http://host:port"):
        parse_http_url(url)


async def test_the_port_may_be_left_out() -> None:
    """HTTP's own port is 80."""
    assert parse_http_url("http://host") == ("host", 80)

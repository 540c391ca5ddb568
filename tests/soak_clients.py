"""Well-behaved and disturbing clients of a running server, for the soak test."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import anyio
import anyio.abc
import httpx
from speech_clips import Clip
from wav_files import write_wav
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

FRAME = 4096
"""Samples: 256 ms."""

GREETING = '{"uid": "soak", "language": "en"}'
TRANSCRIPTIONS = "/v1/audio/transcriptions"
BAD_GREETINGS = [
    *("", "hello", "[" * 5000, "{}" * 100, '{"uid": [1]}', '{"uid": "u", "task": "sing"}'),
    '{"uid": "u", "language": "klingon"}',
    '{"uid": "' + "u" * 2000 + '"}',
]
RAW = [
    b"",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
    b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    bytes(range(256)) * 100,
]


class ServerBusy(ConnectionError):
    """The server is at its capacity, as a slow machine may be."""


GONE = (OSError, ConnectionClosed, InvalidHandshake, httpx.HTTPError, anyio.BrokenResourceError)
"""Errors of connections that the server or the client has closed early."""


@dataclass
class SoakClient:
    """A client with random behaviour."""

    rng: random.Random
    live_url: str
    http_url: str
    clips: list[Clip]

    async def stream_clip(self) -> None:
        """Stream a clip in real time, and check its text."""
        clip = self.rng.choice(self.clips)
        async with self._connect() as socket, anyio.create_task_group() as tasks:
            messages: list[str] = []
            tasks.start_soon(_read_messages, socket, messages)
            await self._send_clip(socket, clip, 1.0)
            await socket.send(b"END_OF_AUDIO")
        assert socket.close_code == 1000, messages
        text = " ".join(
            segment["text"].strip()
            for segment in json.loads(messages[-1])["segments"]
            if segment["completed"]
        )
        assert text == clip.text, (text, clip.text)

    async def break_off(self) -> None:
        """End in the middle of a sentence: close, abort, or send something invalid."""
        async with self._connect() as socket:
            await self._send_clip(socket, self.rng.choice(self.clips), self.rng.random())
            match self.rng.randrange(4):
                case 0:
                    socket.transport.abort()
                case 1:
                    await socket.send("nonsense")
                case 2:
                    await socket.send(self.rng.randbytes(99_999))  # no samples
                case _:
                    pass  # the connection is closed normally

    async def send_bad_handshake(self) -> None:
        """Send an invalid handshake."""
        async with connect(self.live_url, proxy=None) as socket:
            await socket.send(self.rng.choice(BAD_GREETINGS))
            await _read_messages(socket, [])

    async def send_raw_bytes(self) -> None:
        """Send raw bytes to either server, and close before or after its response."""
        parts = urlsplit(self.rng.choice([self.live_url, self.http_url]))
        async with await anyio.connect_tcp(parts.hostname or "", parts.port or 0) as socket:
            await socket.send(self.rng.choice(RAW) or b"\n")
            with anyio.move_on_after(self.rng.uniform(0, 0.5)), suppress(anyio.EndOfStream):
                await socket.receive()

    async def upload(self) -> None:
        """Upload a recording, and check its text."""
        clip = self.rng.choice(self.clips)
        reply = await self._post(write_wav(clip.samples), response_format="text")
        assert reply.status_code in {200, 429}, reply.text
        if reply.status_code == 200:
            assert reply.text.strip() == clip.text

    async def upload_damaged_file(self) -> None:
        """Upload a recording with overwritten bytes, or only a part of it."""
        media = bytearray(write_wav(self.rng.choice(self.clips).samples))
        for _ in range(self.rng.randrange(1, 20)):
            media[self.rng.randrange(min(len(media), 10 ** self.rng.randrange(1, 6)))] ^= 0xFF
        reply = await self._post(bytes(media[: self.rng.randrange(20, len(media))]))
        assert reply.status_code in {200, 400, 429}, reply.text

    async def cancel_upload(self) -> None:
        """Close the connection during the upload, or during the transcription."""
        media = write_wav(self.rng.choice(self.clips).samples)
        sent = self.rng.randrange(1, len(media))

        async def some() -> object:
            return await self._post(media * self.rng.randrange(1, 20), stream="true")

        if self.rng.random() < 0.5:
            with anyio.move_on_after(self.rng.uniform(0, 0.5)):
                await some()
            return
        parts = urlsplit(self.http_url)
        async with await anyio.connect_tcp(parts.hostname or "", parts.port or 0) as socket:
            head = (
                f"POST {TRANSCRIPTIONS} HTTP/1.1\r\nHost: localhost\r\n"
                f"Content-Length: {2 * len(media)}\r\n"
                "Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
                'Content-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
            )
            await socket.send(head.encode() + media[:sent])

    async def submit_job(self) -> None:
        """Submit a job, follow its events for a while, and delete it."""
        async with httpx.AsyncClient(base_url=self.http_url, timeout=60) as client:
            media = write_wav(self.rng.choice(self.clips).samples)
            reply = await client.post("/v1/jobs", files={"file": media})
            assert reply.status_code in {202, 429}, reply.text
            if reply.status_code != 202:
                return
            job = f"/v1/jobs/{reply.json()['id']}"
            with anyio.move_on_after(self.rng.uniform(0, 1)):
                async with client.stream("GET", f"{job}/events") as events:
                    async for _ in events.aiter_bytes():
                        pass
            assert (await client.delete(job)).status_code == 200

    @property
    def disturbances(self) -> list[Callable[[], Awaitable[None]]]:
        """All methods but `stream_clip`."""
        return [
            *(self.break_off, self.send_bad_handshake, self.send_raw_bytes, self.upload),
            *(self.upload_damaged_file, self.cancel_upload, self.submit_job),
        ]

    def _connect(self) -> "_ReadyConnection":
        return _ReadyConnection(self.live_url)

    async def _send_clip(self, socket: ClientConnection, clip: Clip, share: float) -> None:
        """Send the beginning of a clip in real time, 256 ms at a time."""
        for first in range(0, int(share * len(clip.samples)), FRAME):
            await socket.send(clip.samples[first : first + FRAME].astype("<f4").tobytes())
            await asyncio.sleep(FRAME / 16_000)

    async def _post(self, media: bytes, **fields: str) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.http_url, timeout=60) as client:
            form = {"language": "en", **fields}
            return await client.post(TRANSCRIPTIONS, files={"file": media}, data=form)


class _ReadyConnection:
    """A live connection after SERVER_READY."""

    def __init__(self, url: str) -> None:
        self._connecting = connect(url, compression=None, proxy=None)

    async def __aenter__(self) -> ClientConnection:
        socket = await self._connecting.__aenter__()
        await socket.send(GREETING)
        answer = json.loads(await socket.recv())
        if answer.get("status") == "WAIT":
            await socket.close()
            raise ServerBusy
        assert answer.get("message") == "SERVER_READY"
        return socket

    async def __aexit__(self, *error: object) -> None:
        await self._connecting.__aexit__(*error)  # type: ignore[arg-type]  # as it came


async def _read_messages(socket: ClientConnection, messages: list[str]) -> None:
    with suppress(ConnectionClosed):
        while True:
            messages.append(str(await socket.recv()))

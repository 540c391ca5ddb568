"""Clients of every kind, good and bad, each for one visit to a running server."""

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
    """The server has too much to do, as a slow machine may have."""


GONE = (OSError, ConnectionClosed, InvalidHandshake, httpx.HTTPError, anyio.BrokenResourceError)
"""How a visit may end that the server, or we, cut short."""


@dataclass
class SoakClient:
    """Somebody with dice, who knows the address and some recordings."""

    dice: random.Random
    live_url: str
    http_url: str
    clips: list[Clip]

    async def speaks(self) -> None:
        """Speak at the pace of speech, to the end, and read what was said."""
        clip = self.dice.choice(self.clips)
        async with self._live() as socket, anyio.create_task_group() as tasks:
            heard: list[str] = []
            tasks.start_soon(_read_all, socket, heard)
            await self._say(socket, clip, 1.0)
            await socket.send(b"END_OF_AUDIO")
        assert socket.close_code == 1000, heard
        text = " ".join(
            segment["text"].strip()
            for segment in json.loads(heard[-1])["segments"]
            if segment["completed"]
        )
        assert text == clip.text, (text, clip.text)

    async def breaks_off(self) -> None:
        """Leave in the middle of a sentence: politely, rudely, or by saying nonsense."""
        async with self._live() as socket:
            await self._say(socket, self.dice.choice(self.clips), self.dice.random())
            match self.dice.randrange(4):
                case 0:
                    socket.transport.abort()
                case 1:
                    await socket.send("nonsense")
                case 2:
                    await socket.send(self.dice.randbytes(99_999))  # no samples
                case _:
                    pass  # a polite close

    async def greets_badly(self) -> None:
        """Begin with something that is no handshake."""
        async with connect(self.live_url, proxy=None) as socket:
            await socket.send(self.dice.choice(BAD_GREETINGS))
            await _read_all(socket, [])

    async def speaks_no_protocol(self) -> None:
        """Send bytes to either door, and go before there is an answer, or after."""
        parts = urlsplit(self.dice.choice([self.live_url, self.http_url]))
        async with await anyio.connect_tcp(parts.hostname or "", parts.port or 0) as socket:
            await socket.send(self.dice.choice(RAW) or b"\n")
            with anyio.move_on_after(self.dice.uniform(0, 0.5)), suppress(anyio.EndOfStream):
                await socket.receive()

    async def uploads(self) -> None:
        """Send a recording, and get its text."""
        clip = self.dice.choice(self.clips)
        reply = await self._posted(write_wav(clip.samples), response_format="text")
        assert reply.status_code in {200, 429}, reply.text
        if reply.status_code == 200:
            assert reply.text.strip() == clip.text

    async def uploads_damage(self) -> None:
        """Send a recording with bytes overwritten, or only a part of it."""
        media = bytearray(write_wav(self.dice.choice(self.clips).samples))
        for _ in range(self.dice.randrange(1, 20)):
            media[self.dice.randrange(min(len(media), 10 ** self.dice.randrange(1, 6)))] ^= 0xFF
        reply = await self._posted(bytes(media[: self.dice.randrange(20, len(media))]))
        assert reply.status_code in {200, 400, 429}, reply.text

    async def cancels_an_upload(self) -> None:
        """Hang up while the file is sent, or while it is read."""
        media = write_wav(self.dice.choice(self.clips).samples)
        sent = self.dice.randrange(1, len(media))

        async def some() -> object:
            return await self._posted(media * self.dice.randrange(1, 20), stream="true")

        if self.dice.random() < 0.5:
            with anyio.move_on_after(self.dice.uniform(0, 0.5)):
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

    async def hands_in_a_job(self) -> None:
        """Hand it in, watch it for a while, and throw it away."""
        async with httpx.AsyncClient(base_url=self.http_url, timeout=60) as door:
            media = write_wav(self.dice.choice(self.clips).samples)
            reply = await door.post("/v1/jobs", files={"file": media})
            assert reply.status_code in {202, 429}, reply.text
            if reply.status_code != 202:
                return
            job = f"/v1/jobs/{reply.json()['id']}"
            with anyio.move_on_after(self.dice.uniform(0, 1)):
                async with door.stream("GET", f"{job}/events") as events:
                    async for _ in events.aiter_bytes():
                        pass
            assert (await door.delete(job)).status_code == 200

    @property
    def nuisances(self) -> list[Callable[[], Awaitable[None]]]:
        """All kinds of visits but those of good speakers."""
        return [
            *(self.breaks_off, self.greets_badly, self.speaks_no_protocol, self.uploads),
            *(self.uploads_damage, self.cancels_an_upload, self.hands_in_a_job),
        ]

    def _live(self) -> "_Admitted":
        return _Admitted(self.live_url)

    async def _say(self, socket: ClientConnection, clip: Clip, share: float) -> None:
        """Say the beginning of a clip, 256 ms at a time."""
        for first in range(0, int(share * len(clip.samples)), FRAME):
            await socket.send(clip.samples[first : first + FRAME].astype("<f4").tobytes())
            await asyncio.sleep(FRAME / 16_000)

    async def _posted(self, media: bytes, **fields: str) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.http_url, timeout=60) as door:
            form = {"language": "en", **fields}
            return await door.post(TRANSCRIPTIONS, files={"file": media}, data=form)


class _Admitted:
    """A live connection to which the server has said that it is ready."""

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


async def _read_all(socket: ClientConnection, heard: list[str]) -> None:
    with suppress(ConnectionClosed):
        while True:
            heard.append(str(await socket.recv()))

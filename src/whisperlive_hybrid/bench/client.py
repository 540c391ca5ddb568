"""One live client: sends samples when they would have been spoken, and notes what comes back.

The clock is the client's own and monotonic. Sample n is spoken at t0 + n / 16,000, and chunk k is
sent at t0 + (k + 1) * chunk: at absolute times, so that no delay of one chunk moves the next.
Client and server may thus disagree on nothing, and a slow server gains no time by being slow.
"""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import anyio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from whisperlive_hybrid.bench.corpus import Material
from whisperlive_hybrid.bench.scoring import Event, Transcript
from whisperlive_hybrid.types import SAMPLE_RATE, Samples

CHUNK: Final = 4096
"""Samples of a frame, as the Python client sends them: 256 ms."""

END_OF_AUDIO: Final = b"END_OF_AUDIO"

READY_S: Final = 120.0
"""For SERVER_READY: the reference loads its model first."""

FLUSH_S: Final = 15.0
"""How long clients wait for the close after END_OF_AUDIO (the reference's promise)."""


class Outcome(Enum):
    """How a stream ended."""

    FINISHED = "finished"
    """The server closed after the end of audio."""
    REFUSED = "refused"
    """It was not let in."""
    LOST = "lost"
    """The connection ended too early, or not at all."""


@dataclass(frozen=True, slots=True, eq=False)
class Take:
    """What became of one stream."""

    material: Material
    outcome: Outcome
    reason: str
    """Why it was refused or lost."""
    events: tuple[Event, ...] = ()
    revisions: int = 0
    messages: int = 0
    """`segments` messages, those that repeat another included."""
    lateness: float = 0.0
    """The longest that a chunk was sent after its time, in s: a busy client, or a server that
    does not read."""


class Refused(Exception):
    """The server answered the handshake with something else than SERVER_READY."""


def schedule(samples: Samples, chunk: int = CHUNK) -> Iterator[tuple[float, Samples]]:
    """Each chunk with the moment at which its last sample has been spoken, in s from the first.

    The last chunk may be short; it is sent at the time of a whole one, as a sound card would.
    """
    for place, first in enumerate(range(0, len(samples), chunk)):
        yield (place + 1) * chunk / SAMPLE_RATE, samples[first : first + chunk]


async def speak(url: str, material: Material, language: str | None, speed: float = 1.0) -> Take:
    """Speak the material to a server. `language` is announced; None lets the server find it.

    `speed` makes the clock of the stream run faster than the wall's, for tests of the harness:
    figures taken at another speed than 1 mean nothing.
    """
    try:
        async with connect(url, compression=None, max_size=None, proxy=None) as socket:
            stream = _Stream(socket, material, speed)
            await stream.open(language)
            await stream.run()
            return stream.take()
    except Refused as error:
        return Take(material, Outcome.REFUSED, str(error))
    except (OSError, InvalidHandshake, ConnectionClosed) as error:
        reason = f"no connection: {type(error).__name__}"
        return Take(material, Outcome.REFUSED, reason)


class _Stream:
    """An open connection, from its handshake to its close."""

    def __init__(self, socket: ClientConnection, material: Material, speed: float) -> None:
        self._socket = socket
        self._material = material
        self._speed = speed
        self._started = 0.0
        self._transcript = Transcript()
        self._lateness = 0.0
        self._has_said_all = False
        self._reason = ""

    async def open(self, language: str | None) -> None:
        """Shake hands. Raises `Refused` where the server does not want us."""
        with anyio.move_on_after(READY_S):
            await greeted(self._socket, language)
            return
        raise Refused(f"no SERVER_READY within {READY_S:g} s")

    async def run(self) -> None:
        """Send and receive until the server closes, or does not although it should."""
        self._started = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._send, tasks.cancel_scope)
            try:
                async for frame in self._socket:
                    self._receive(json.loads(frame))
            except ConnectionClosed as error:
                self._reason = f"connection lost: {error}"
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                self._reason = f"a message that is none of the protocol: {error!r}"
            tasks.cancel_scope.cancel()

    def take(self) -> Take:
        """What has come of it."""
        if not self._has_said_all:
            self._reason = self._reason or "the server closed before the end of audio"
        return Take(
            material=self._material,
            outcome=Outcome.LOST if self._reason else Outcome.FINISHED,
            reason=self._reason,
            events=tuple(self._transcript.events),
            revisions=self._transcript.revisions,
            messages=self._transcript.messages,
            lateness=self._lateness,
        )

    async def _send(self, everything: anyio.CancelScope) -> None:
        """Send each chunk at its time, then the end, and wait for the close."""
        try:
            for spoken_at, chunk in schedule(self._material.samples):
                due = self._started + spoken_at / self._speed
                await anyio.sleep_until(due)
                self._lateness = max(self._lateness, anyio.current_time() - due)
                await self._socket.send(chunk.astype("<f4").tobytes())
            self._has_said_all = True
            await self._socket.send(END_OF_AUDIO)
        except ConnectionClosed:
            return  # the receiving side tells why
        await anyio.sleep(FLUSH_S)
        self._reason = f"not closed {FLUSH_S:g} s after the end of audio"
        everything.cancel()

    def _receive(self, message: dict[str, Any]) -> None:
        now = (anyio.current_time() - self._started) * self._speed
        if message.get("segments"):
            self._transcript.receive(now, message["segments"])
        elif message.get("status") == "ERROR" or message.get("message") == "DISCONNECT":
            self._reason = f"server says {message['message']}"


async def greeted(socket: ClientConnection, language: str | None) -> None:
    """Shake hands, and wait until the server is ready; raises `Refused` where it says no."""
    await socket.send(json.dumps(handshake(str(uuid.uuid4()), language)))
    while (answer := json.loads(await socket.recv())).get("message") != "SERVER_READY":
        if answer.get("status") in {"WAIT", "ERROR"}:
            raise Refused(f"{answer['status']}: {answer.get('message')}")


def handshake(uid: str, language: str | None) -> dict[str, object]:
    """The first message, key by key as the Python client 0.10.0 sends it by default."""
    return {
        "uid": uid,
        "language": language,
        "task": "transcribe",
        "model": "small",
        "use_vad": True,
        "send_last_n_segments": 10,
        "no_speech_thresh": 0.45,
        "clip_audio": False,
        "same_output_threshold": 10,
        "enable_translation": False,
        "target_language": "fr",
        "hotwords": None,
        "enable_diarization": False,
        "max_speakers": 10,
        "known_speakers": [],
        "word_timestamps": False,
        "initial_prompt": None,
        "vad_parameters": None,
    }

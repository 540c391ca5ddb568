"""A live client that sends samples in real time and records the messages it receives.

The clock is the client's own and monotonic. Sample n is spoken at t0 + n / 16,000, and chunk k is
sent at t0 + (k + 1) * chunk: at absolute times, so that no delay of one chunk moves the next, and a
slow server does not get more time.
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

from whisperlive_hybrid.bench.corpus import ComposedSpeech
from whisperlive_hybrid.bench.scoring import Event, SegmentHistory
from whisperlive_hybrid.types import SAMPLE_RATE, Samples

CHUNK: Final = 4096
"""Samples of a frame, the size that the Python client sends: 256 ms."""

END_OF_AUDIO: Final = b"END_OF_AUDIO"

READY_S: Final = 120.0
"""Timeout for SERVER_READY: the reference server loads its model first."""

FLUSH_S: Final = 15.0
"""Timeout for the close after END_OF_AUDIO (promised by the reference server)."""


class StreamEnd(Enum):
    """The end of a stream."""

    FINISHED = "finished"
    """The server closed after the end of audio."""
    REFUSED = "refused"
    """The server did not accept the stream."""
    LOST = "lost"
    """The connection ended too early, or not at all."""


@dataclass(frozen=True, slots=True, eq=False)
class StreamResult:
    """The result of one stream."""

    speech: ComposedSpeech
    outcome: StreamEnd
    reason: str
    """Why it was refused or lost."""
    events: tuple[Event, ...] = ()
    revisions: int = 0
    messages: int = 0
    """Number of `segments` messages, including repetitions."""
    lateness: float = 0.0
    """Largest delay of a sent chunk, in s; it shows a busy client or a server that does not
    read."""


class Refused(Exception):
    """The server rejected the handshake or did not send SERVER_READY in time."""


def schedule(samples: Samples, chunk: int = CHUNK) -> Iterator[tuple[float, Samples]]:
    """Yield each chunk with the time at which its last sample has been spoken, in s from the first.

    The last chunk may be short; it is sent at the time of a whole one, as a sound card would.
    """
    for number, first in enumerate(range(0, len(samples), chunk), 1):
        yield number * chunk / SAMPLE_RATE, samples[first : first + chunk]


async def run_stream(
    url: str, speech: ComposedSpeech, language: str | None, speed: float = 1.0
) -> StreamResult:
    """Stream speech to a server. `language` is announced; None lets the server detect it.

    `speed` makes the clock of the stream run faster than real time, for tests of the harness:
    figures measured at another speed than 1 are meaningless.
    """
    try:
        async with connect(url, compression=None, max_size=None, proxy=None) as socket:
            stream = _LiveConnection(socket, speech, speed)
            await stream.open(language)
            await stream.run()
            return stream.result()
    except Refused as error:
        return StreamResult(speech, StreamEnd.REFUSED, str(error))
    except (OSError, InvalidHandshake, ConnectionClosed) as error:
        reason = f"no connection: {type(error).__name__}"
        return StreamResult(speech, StreamEnd.REFUSED, reason)


class _LiveConnection:
    """An open connection, from its handshake to its close."""

    def __init__(self, socket: ClientConnection, speech: ComposedSpeech, speed: float) -> None:
        self._socket = socket
        self._speech = speech
        self._speed = speed
        self._started = 0.0
        self._history = SegmentHistory()
        self._lateness = 0.0
        self._has_sent_all = False
        self._reason = ""

    async def open(self, language: str | None) -> None:
        """Perform the handshake. Raises `Refused` if the server does not accept the stream."""
        with anyio.move_on_after(READY_S):
            await shake_hands(self._socket, language)
            return
        raise Refused(f"no SERVER_READY within {READY_S:g} s")

    async def run(self) -> None:
        """Send and receive until the server closes or `FLUSH_S` have passed since the end."""
        self._started = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._send, tasks.cancel_scope)
            try:
                async for frame in self._socket:
                    message: dict[str, Any] = json.loads(frame)
                    now = (anyio.current_time() - self._started) * self._speed
                    if message.get("segments"):
                        self._history.receive(now, message["segments"])
                    elif message.get("status") == "ERROR" or message.get("message") == "DISCONNECT":
                        self._reason = f"server says {message['message']}"
            except ConnectionClosed as error:
                self._reason = f"connection lost: {error}"
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                self._reason = f"invalid message: {error!r}"
            tasks.cancel_scope.cancel()

    def result(self) -> StreamResult:
        """Return the result of the stream that has ended."""
        if not self._has_sent_all:
            self._reason = self._reason or "the server closed before the end of audio"
        return StreamResult(
            speech=self._speech,
            outcome=StreamEnd.LOST if self._reason else StreamEnd.FINISHED,
            reason=self._reason,
            events=tuple(self._history.events),
            revisions=self._history.revisions,
            messages=self._history.messages,
            lateness=self._lateness,
        )

    async def _send(self, scope: anyio.CancelScope) -> None:
        """Send each chunk at its time and END_OF_AUDIO; cancel `scope` if no close follows."""
        try:
            for spoken_at, chunk in schedule(self._speech.samples):
                # An absolute time: a chunk that is late does not delay the next one.
                due = self._started + spoken_at / self._speed
                await anyio.sleep_until(due)
                self._lateness = max(self._lateness, anyio.current_time() - due)
                await self._socket.send(chunk.astype("<f4").tobytes())
            self._has_sent_all = True
            await self._socket.send(END_OF_AUDIO)
        except ConnectionClosed:
            return  # the receiving loop records the reason
        await anyio.sleep(FLUSH_S)
        self._reason = f"not closed {FLUSH_S:g} s after the end of audio"
        scope.cancel()


async def shake_hands(socket: ClientConnection, language: str | None) -> None:
    """Send the handshake and wait for SERVER_READY; raises `Refused` for WAIT and ERROR."""
    await socket.send(json.dumps(handshake(str(uuid.uuid4()), language)))
    while (response := json.loads(await socket.recv())).get("message") != "SERVER_READY":
        if response.get("status") in {"WAIT", "ERROR"}:
            raise Refused(f"{response['status']}: {response.get('message')}")


def handshake(uid: str, language: str | None) -> dict[str, object]:
    """Return the first message, the same as the Python client 0.10.0 sends by default."""
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

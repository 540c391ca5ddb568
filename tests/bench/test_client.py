"""The paced client against servers that follow a script."""

import json
import random

import numpy as np
import pytest
from scripted_server import run_script
from websockets.asyncio.server import ServerConnection

from whisperlive_hybrid.bench.client import CHUNK, StreamEnd, handshake, run_stream, schedule
from whisperlive_hybrid.bench.corpus import ComposedSpeech, Sentence, compose
from whisperlive_hybrid.types import SAMPLE_RATE

pytestmark = pytest.mark.anyio

SPEED = 1000.0
"""Two seconds of audio take two milliseconds."""


def _speech(seconds: float = 2.0) -> ComposedSpeech:
    tone = Sentence(np.full(SAMPLE_RATE // 4, 0.5, np.float32), (("Hello.", 0.25),))
    return compose([tone], random.Random(0), "en", seconds)


def _ready(uid: str) -> str:
    return json.dumps({"uid": uid, "message": "SERVER_READY", "backend": "faster_whisper"})


def _hello(uid: str, *, completed: bool) -> str:
    segment = {"start": "0.000", "end": "1.000", "text": " Hello.", "completed": completed}
    return json.dumps({"uid": uid, "segments": [segment]})


async def _welcome(socket: ServerConnection) -> str:
    uid = json.loads(await socket.recv())["uid"]
    await socket.send(_ready(uid))
    return str(uid)


def test_chunks_are_due_at_absolute_times() -> None:
    """Chunk k is due when its last sample has been spoken, whatever happened before."""
    due = list(schedule(np.zeros(2 * CHUNK + 10, np.float32)))
    assert [at for at, _ in due] == [0.256, 0.512, 0.768]
    assert [len(chunk) for _, chunk in due] == [4096, 4096, 10]


async def test_a_stream_is_received_to_its_end() -> None:
    """All samples arrive as float32, then END_OF_AUDIO; what comes after it still counts."""
    received: list[bytes] = []

    async def script(socket: ServerConnection) -> None:
        uid = await _welcome(socket)
        while (frame := await socket.recv()) != b"END_OF_AUDIO":
            received.append(bytes(frame) if isinstance(frame, bytes) else b"")
            await socket.send(_hello(uid, completed=False))
        await socket.send(_hello(uid, completed=True))

    speech = _speech()
    async with run_script(script) as url:
        result = await run_stream(url, speech, "en", SPEED)
    assert (result.outcome, result.reason) == (StreamEnd.FINISHED, "")
    assert np.array_equal(np.frombuffer(b"".join(received), "<f4"), speech.samples)
    assert result.messages == 9  # one for each of 8 chunks, and the last
    assert [event.tentative for event in result.events] == [("hello",), ()]
    assert [line.text for line in result.events[-1].committed] == ["Hello."]


async def test_the_clock_starts_with_the_first_sample() -> None:
    """A response to the first chunk arrives after 0.256 s of the stream's time, not before."""

    async def script(socket: ServerConnection) -> None:
        uid = await _welcome(socket)
        await socket.recv()
        await socket.send(_hello(uid, completed=True))
        async for frame in socket:
            if frame == b"END_OF_AUDIO":
                return

    async with run_script(script) as url:
        result = await run_stream(url, _speech(), "en", SPEED)
    assert result.events[0].at >= 0.256


@pytest.mark.parametrize(
    ("status", "message", "reason"),
    [("WAIT", 9.5, "WAIT: 9.5"), ("ERROR", "no model", "ERROR: no model")],
)
async def test_a_refusal_has_a_reason(status: str, message: object, reason: str) -> None:
    """A full server and one without a model refuse; nothing is sent to them."""

    async def script(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(json.dumps({"status": status, "message": message}))

    async with run_script(script) as url:
        result = await run_stream(url, _speech(), "en", SPEED)
    assert (result.outcome, result.reason) == (StreamEnd.REFUSED, reason)


async def test_a_server_that_is_not_there_refuses() -> None:
    """No connection is a refused stream, not a crash."""
    result = await run_stream("ws://127.0.0.1:1", _speech(), "en")
    assert result.outcome is StreamEnd.REFUSED


async def test_a_server_that_leaves_early_loses_the_stream() -> None:
    """A close before the end of audio is a lost connection, however clean; what it said stays."""

    async def script(socket: ServerConnection) -> None:
        uid = await _welcome(socket)
        await socket.recv()
        await socket.send(_hello(uid, completed=True))

    async with run_script(script) as url:
        result = await run_stream(url, _speech(60.0), "en", SPEED)
    assert result.outcome is StreamEnd.LOST
    assert result.reason == "the server closed before the end of audio"
    assert len(result.events) == 1


@pytest.mark.parametrize("frame", ["not json", '{"segments": [{"completed": true}]}', "[]"])
async def test_nonsense_loses_the_stream_and_no_other(frame: str) -> None:
    """An invalid message ends this stream with a reason."""

    async def script(socket: ServerConnection) -> None:
        await _welcome(socket)
        await socket.send(frame)
        async for _ in socket:
            pass

    async with run_script(script) as url:
        result = await run_stream(url, _speech(60.0), "en", SPEED)
    assert result.outcome is StreamEnd.LOST
    assert "invalid message" in result.reason


async def test_a_disconnect_is_the_reason() -> None:
    """A server whose connection time is up says so before it closes."""

    async def script(socket: ServerConnection) -> None:
        uid = await _welcome(socket)
        await socket.send(json.dumps({"uid": uid, "message": "DISCONNECT"}))

    async with run_script(script) as url:
        result = await run_stream(url, _speech(60.0), "en", SPEED)
    assert (result.outcome, result.reason) == (StreamEnd.LOST, "server says DISCONNECT")


def test_the_handshake_has_the_keys_of_the_python_client() -> None:
    """The same as those of the client 0.10.0."""
    assert handshake("U", None)["uid"] == "U"
    assert set(handshake("U", "en")) == {
        *("uid", "language", "task", "model", "use_vad", "send_last_n_segments"),
        *("no_speech_thresh", "clip_audio", "same_output_threshold", "enable_translation"),
        *("target_language", "hotwords", "enable_diarization", "max_speakers", "known_speakers"),
        *("word_timestamps", "initial_prompt", "vad_parameters"),
    }

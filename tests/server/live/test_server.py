"""The live door over real sockets, with the fake backend behind it."""

import gc
import json
import os
import re
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import numpy as np
import pytest
from gated_backend import GatedBackend, SlowBackend
from live_clients import TIMEOUT_S, UID, LiveClient, OpenLiveServer, open_live_server
from metrics_scrape import scrape
from structlog.testing import capture_logs
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from whisperlive_hybrid.backends.fake import FakeBackend, Trouble, pause, speak
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.live.session import BACKLOG
from whisperlive_hybrid.model_pool import ModelSpec
from whisperlive_hybrid.server.live.server import MAX_FRAME
from whisperlive_hybrid.server.live.transport import TransportLimits
from whisperlive_hybrid.types import Samples

pytestmark = pytest.mark.anyio

READY = {
    "uid": UID,
    "message": "SERVER_READY",
    "backend": "faster_whisper",
    "model": "fake",
}
SAID = (speak([100, 200]), pause(1.2), speak([300]))
TEXT = "w100 w200 w300"


class TestHandshake:
    """From the upgrade to SERVER_READY."""

    @pytest.mark.parametrize("as_bytes", [False, True], ids=["text", "binary"])
    async def test_ready(self, *, as_bytes: bool) -> None:
        """A handshake in either kind of frame is answered by SERVER_READY, in text."""
        async with open_live_server() as door, door.client() as client:
            frame = json.dumps({"uid": UID})
            await client.socket.send(frame.encode() if as_bytes else frame)
            assert await client.next() == READY

    @pytest.mark.parametrize(
        ("frame", "uid"),
        [
            ("hello", None),
            ("[]", None),
            (b"\xff\xff", None),
            ("[" * 100_000, None),
            (json.dumps({"uid": UID, "task": "sing"}), UID),
            (json.dumps({"uid": UID, "language": "klingon"}), UID),
            (json.dumps({"uid": UID, "language": "fr"}), UID),  # the fake knows en and de
        ],
        ids=["word", "list", "bytes", "deep", "task", "no language", "language of no model"],
    )
    async def test_bad_handshake(self, frame: str | bytes, uid: str | None) -> None:
        """A handshake that can't be served gets one ERROR, to its uid, and a normal close."""
        async with open_live_server() as door, door.client() as client:
            await client.socket.send(frame)
            (message,) = await client.rest()
            assert (message["uid"], message["status"]) == (uid, "ERROR")
            assert message["message"]
            assert client.closed_with == 1000
            await door.wait_until_empty()
            assert door.live.n_clients == 0

    @pytest.mark.parametrize(
        ("asked", "answers"),
        [("", "fake"), ("large-v3", "fake"), ("small", "small"), ("openai/whisper-small", "small")],
    )
    async def test_a_model_is_named_as_in_requests_for_files(
        self, asked: str, answers: str
    ) -> None:
        """A known one that is not served means the server's own; the reply says which it is."""
        backend = FakeBackend(name="small")
        async with (
            open_live_server(others=[ModelSpec("small", 10, lambda: backend)]) as door,
            door.admitted(model=asked) as client,
        ):
            assert client.messages[0] == {**READY, "model": answers}
            await client.say(*SAID)
            await client.end()
            await client.rest()
            assert client.text == TEXT
        assert bool(backend.calls) == (answers == "small")

    async def test_an_unknown_model_is_refused(self) -> None:
        """With what is offered."""
        async with open_live_server() as door, door.client() as client:
            await client.greet(model="llama")
            (message,) = await client.rest()
            assert message["status"] == "ERROR"
            assert "'llama'" in message["message"]
            assert "'fake'" in message["message"]
            await door.wait_until_empty()

    async def test_a_model_without_room_is_waited_for(self) -> None:
        """WAIT, as for a full server."""
        others = [ModelSpec(name, 600, partial(FakeBackend, name=name)) for name in ("a", "b")]
        async with (
            open_live_server(others=others) as door,
            door.admitted(model="a"),
            door.client() as late,
        ):
            await late.greet(model="b")
            (message,) = await late.rest()
            assert message == {"uid": UID, "status": "WAIT", "message": 0.5}

    async def test_silent_client_is_let_go(self) -> None:
        """A client that never says who it is holds no slot and is sent away."""
        limits = TransportLimits(handshake_s=0.01)
        async with open_live_server(limits=limits) as door, door.client() as client:
            (message,) = await client.rest()
            assert message["status"] == "ERROR"
            assert client.closed_with == 1000

    @pytest.mark.parametrize("path", ["", "/", "/ws", "/captions?token=x&language=en", "/%C3%A4"])
    async def test_any_path(self, path: str) -> None:
        """Clients connect to whatever path they were built with."""
        async with open_live_server() as door, door.client(path) as client:
            await client.greet()
            assert await client.next() == READY

    @pytest.mark.parametrize(
        ("offered", "chosen"),
        [
            (["bearer", "secret"], "bearer"),
            (["secret", "bearer"], "bearer"),
            (["chat", "soap"], None),
            ([], None),
        ],
        ids=["key behind", "key ahead", "others", "none"],
    )
    async def test_subprotocol(self, offered: list[str], chosen: str | None) -> None:
        """Exactly `bearer` is echoed, never a key beside it and no other subprotocol."""
        subprotocols = [Subprotocol(each) for each in offered] or None
        async with open_live_server() as door, door.client(subprotocols=subprotocols) as client:
            assert client.socket.subprotocol == chosen

    async def test_plain_http(self) -> None:
        """A browser that opens the port reads that it must upgrade."""
        async with (
            open_live_server() as door,
            await anyio.connect_tcp("127.0.0.1", door.port) as stream,
        ):
            await stream.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await stream.receive()).startswith(b"HTTP/1.1 426 Upgrade Required\r\n")

    async def test_ping(self) -> None:
        """A ping is answered."""
        async with open_live_server() as door, door.admitted() as client:
            with anyio.fail_after(TIMEOUT_S):
                await (await client.socket.ping())


class TestAdmission:
    """Who gets in, and when they have to leave."""

    async def test_full_server_says_wait(self) -> None:
        """One client too many reads for how many minutes, as a number, and is closed."""
        async with open_live_server(max_clients=1, max_connection_s=600) as door, door.admitted():
            async with door.client() as second:
                await second.greet()
                (message,) = await second.rest()
            assert (message["uid"], message["status"]) == (UID, "WAIT")
            assert isinstance(message["message"], float)
            assert 0 < message["message"] <= 10
            assert second.closed_with == 1000
            assert door.live.n_clients == 1

    async def test_a_model_that_cannot_keep_up_admits_nobody(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """While the finals of others are late, a new client is told to wait a minute."""
        lateness = 5.0
        monkeypatch.setattr(Engine, "live_lateness_s", property(lambda _: lateness))
        async with open_live_server() as door:
            async with door.client() as client:
                await client.greet()
                (message,) = await client.rest()
            assert (message["status"], message["message"]) == ("WAIT", 1)
            lateness = 0.0
            async with door.admitted():
                assert door.live.n_clients == 1

    async def test_a_client_that_cannot_be_served_waits_before_anything_is_late(self) -> None:
        """A third client of a model that has time for two; it gets in when one of them has left."""
        model = SlowBackend(encode_s=0.32)
        async with (
            open_live_server(model, live_load=0.4, probes=True) as door,
            door.admitted(),
            door.admitted() as second,
        ):
            async with door.client() as third:
                await third.greet()
                (message,) = await third.rest()
            assert (message["status"], message["message"]) == ("WAIT", 1)
            assert third.closed_with == 1000
            assert (door.engine.live_lateness_s, door.live.n_clients) == (0.0, 2)
            assert scrape(door.metrics).total("whisperlive_refused_total", reason="capacity") == 1
            await second.end()
            await second.rest()
            async with door.admitted():
                assert door.live.n_clients == 2

    async def test_a_crowd_is_judged_one_by_one(self) -> None:
        """Also while the cost of live work is unknown: they wait for that, and no longer."""
        answers: list[object] = []
        all_answered = anyio.Event()

        async def come() -> None:
            async with door.client() as client:
                await client.greet()
                answers.append((await client.next())["message"])
                if len(answers) == 6:
                    all_answered.set()
                await all_answered.wait()

        model = SlowBackend(encode_s=0.32)
        async with open_live_server(model, live_load=0.4, probes=True) as door:
            with anyio.fail_after(TIMEOUT_S):
                async with anyio.create_task_group() as tasks:
                    for _ in range(6):
                        tasks.start_soon(come)
        assert Counter(answers) == {"SERVER_READY": 2, 1: 4}

    async def test_a_machine_too_slow_to_be_measured_admits_nobody_more(self) -> None:
        """The first client is there; the second is told to wait."""
        held = GatedBackend()
        async with (
            open_live_server(held, probes=True, probe_patience_s=0.0) as door,
            door.admitted(),
        ):
            async with door.client() as second:
                await second.greet()
                assert (await second.next())["status"] == "WAIT"
            held.gate.set()

    @pytest.mark.parametrize("leaves", ["END", "close", "abort"])
    async def test_slot_is_free_after_a_client_left(self, leaves: str) -> None:
        """However a client leaves, the next one is admitted."""
        async with open_live_server(max_clients=1) as door:
            async with door.admitted() as first:
                await _leave(first, leaves)
                await door.wait_until_empty()
            async with door.admitted() as second:
                await second.say(*SAID)
                await second.end()
                await second.rest()
            assert second.text == TEXT

    async def test_slot_is_free_once_the_text_is_complete(self) -> None:
        """A client that leaves its socket open after the close, as Python's does, holds no slot."""
        limits = TransportLimits(close_s=2 * TIMEOUT_S)
        async with open_live_server(limits=limits, max_clients=1) as door, door.admitted() as first:
            first.socket.transport.pause_reading()  # it never sees the close
            await first.end()
            await door.wait_until_empty()
            async with door.admitted():
                assert door.live.n_clients == 1
            first.socket.transport.resume_reading()

    async def test_idle_client_is_disconnected(self) -> None:
        """A client that sends nothing is told DISCONNECT too, when its time is up."""
        async with open_live_server(max_connection_s=0.05) as door, door.admitted() as client:
            assert await client.rest() == [READY, {"uid": UID, "message": "DISCONNECT"}]
            assert client.closed_with == 1000
            await door.wait_until_disconnected()
            assert door.count_endings() == {"time_up": 1}

    async def test_text_is_flushed_before_disconnect(self) -> None:
        """What was said before the time was up is completed, and DISCONNECT is the last word."""
        async with open_live_server() as door, door.admitted() as client:
            await client.say(speak(range(1, 10)))
            await client.wait_for_text()
            (known,) = door.admission._clients
            known.until = known._receiving.deadline = anyio.current_time()
            messages = await client.rest()
            assert client.text.split() == [f"w{n}" for n in range(1, 10)]
            assert messages[-1] == {"uid": UID, "message": "DISCONNECT"}
            assert client.closed_with == 1000

    async def test_time_is_up_for_a_client_that_never_pauses(self) -> None:
        """Frames that are always waiting to be heard do not keep a connection open."""
        async with open_live_server(max_connection_s=0.2) as door, door.admitted() as client:

            async def flood() -> None:
                with suppress(ConnectionClosed):
                    while True:
                        await client.say(pause(1.0))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(flood)
                assert (await client.rest())[-1] == {"uid": UID, "message": "DISCONNECT"}

    async def test_end_of_audio_is_no_disconnect(self) -> None:
        """A client that ended in time is not told otherwise because its text took longer."""
        held = GatedBackend()
        async with open_live_server(held) as door, door.admitted() as client:
            await client.say(speak([100, 200]))  # too short to be read before the end
            await client.end()
            await anyio.to_thread.run_sync(held.reached.wait, TIMEOUT_S)
            (known,) = door.admission._clients
            known.until = anyio.current_time()
            held.gate.set()
            assert all(each.get("message") != "DISCONNECT" for each in await client.rest())
            assert client.text == "w100 w200"

    async def test_drain(self) -> None:
        """Draining completes what was said and closes with 1012."""
        async with open_live_server() as door, door.admitted() as client, door.admitted() as idle:
            await client.say(speak(range(1, 10)))
            await client.wait_for_text()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(client.rest)
                tasks.start_soon(idle.rest)
                await door.admission.drain(TIMEOUT_S)
            assert client.text.split() == [f"w{n}" for n in range(1, 10)]
            assert (client.closed_with, idle.closed_with) == (1012, 1012)
            assert door.live.n_clients == 0

    async def test_nobody_is_admitted_while_draining(self) -> None:
        """Who comes, or says who he is, after the drain has begun is told to wait elsewhere."""
        async with open_live_server() as door, door.client() as early:
            await door.admission.drain(TIMEOUT_S)
            async with door.client() as late:
                for client in (early, late):
                    await client.greet()
                    assert await client.rest() == [{"uid": UID, "status": "WAIT", "message": 0}]
                    assert client.closed_with == 1012

    async def test_drain_is_bounded(self) -> None:
        """A stream that can't finish does not hold up the drain for longer than it may."""
        held = GatedBackend()
        async with open_live_server(held) as door, door.admitted() as client:
            await client.say(*SAID)
            await anyio.to_thread.run_sync(held.reached.wait, TIMEOUT_S)
            await door.admission.drain(0.01)
            assert door.live.n_clients == 1
            held.gate.set()
            await client.rest()
            assert client.text == TEXT


class TestAudio:
    """Bytes of all kinds."""

    @pytest.mark.parametrize("kind", ["binary", "text"])
    async def test_end_of_audio_completes_the_text(self, kind: str) -> None:
        """After END in either kind of frame all text is completed; then comes a normal close."""
        async with open_live_server() as door, door.admitted() as client:
            await client.say(*SAID)
            await client.socket.send("END_OF_AUDIO" if kind == "text" else b"END_OF_AUDIO")
            messages = await client.rest()
            assert client.text == TEXT
            assert all(segment["completed"] for segment in messages[-1]["segments"])
            assert client.closed_with == 1000

    async def test_audio_behind_the_handshake_is_kept(self) -> None:
        """Firefox does not wait for SERVER_READY; nothing it sends before is lost."""
        async with open_live_server() as door:
            client = await door.transcribe(*SAID)
        assert client.messages[0] == READY
        assert client.text == TEXT

    async def test_language_is_told_before_text(self) -> None:
        """An open language is told once, in a message of its own, ahead of all segments."""
        async with open_live_server() as door:
            client = await door.transcribe(*SAID, language=None)
        assert client.messages[1] == {"uid": UID, "language": "en", "language_prob": 0.9}
        assert [each for each in client.messages if "language" in each] == client.messages[1:2]
        assert client.text == TEXT

    async def test_other_text_is_an_error(self) -> None:
        """Text that means nothing is answered by an ERROR and a normal close.

        What was said before it is completed.
        """
        async with open_live_server() as door, door.admitted() as client:
            await client.say(speak([100, 200]))
            await client.socket.send("stop")
            assert (await client.rest())[-1]["status"] == "ERROR"
            assert (client.text, client.closed_with) == ("w100 w200", 1000)

    @pytest.mark.parametrize(
        ("keys", "encode"),
        [
            ({}, lambda samples: samples.astype("<f4").tobytes()),
            ({"audio_format": "float32"}, lambda samples: samples.astype("<f4").tobytes()),
            ({"audio_format": "int16"}, lambda samples: (samples * 32768).astype("<i2").tobytes()),
            ({}, lambda samples: (_with_negatives(samples) * 32768).astype("<i2").tobytes()),
            (
                {"audio_format": "uint8"},
                lambda samples: (samples * 128 + 128).astype(np.uint8).tobytes(),
            ),
        ],
        ids=["float32", "said float32", "said int16", "int16 unsaid", "said uint8"],
    )
    @pytest.mark.parametrize("size", [997, 16_384], ids=["odd frames", "frames"])
    async def test_sample_formats(
        self, keys: dict[str, object], encode: Callable[[Samples], bytes], size: int
    ) -> None:
        """Each format is heard, declared or recognised, in frames that tear samples apart."""
        payload = encode(np.concatenate([speak([125, 250]), pause(1.2), speak([625])]))
        async with open_live_server() as door, door.admitted(**keys) as client:
            for first in range(0, len(payload), size):
                await client.socket.send(payload[first : first + size])
            await client.socket.send(b"")
            await client.end()
            await client.rest()
            assert client.text == "w125 w250 w625"

    async def test_raw_pcm_input(self) -> None:
        """Where the operator says so, int16 is what an undeclared stream holds."""
        payload = (np.concatenate([speak([125]), pause(0.1)]) * 32768).astype("<i2").tobytes()
        async with open_live_server(raw_pcm_input=True) as door, door.admitted() as client:
            await client.socket.send(payload)
            await client.end()
            await client.rest()
            assert client.text == "w125"

    async def test_a_wrongly_declared_format_is_told_in_the_log(self) -> None:
        """Nobody finds out otherwise why there is no text; it is said once."""
        payload = (speak([125]) * 32768).astype("<f4").tobytes()
        with capture_logs() as logs:
            async with open_live_server() as door, door.admitted(audio_format="float32") as client:
                for _ in range(3):
                    await client.socket.send(payload)
                await client.end()
                await client.rest()
        warnings = [each["event"] for each in logs if each["log_level"] == "warning"]
        assert len(warnings) == 1
        assert "audio_format" in warnings[0]

    async def test_not_a_number(self) -> None:
        """Samples that are no numbers are silence; the words around them are heard."""
        broken = np.full(8000, np.nan, np.float32)
        broken[::3] = np.inf
        async with open_live_server() as door:
            client = await door.transcribe(speak([1]), broken, pause(0.4), speak([2]))
        assert client.text == "w1 w2"

    async def test_largest_frame(self) -> None:
        """A frame of 16 MiB is heard to its end."""
        samples = np.zeros(MAX_FRAME // 4, np.float32)
        word = speak([7])
        samples[-len(word) :] = word
        async with open_live_server() as door:
            client = await door.transcribe(samples)
        (segment,) = client.completed
        assert segment["text"] == " w7"
        assert 261 < float(segment["start"]) < float(segment["end"]) < 262.2

    async def test_larger_frame(self) -> None:
        """A frame of one byte more closes the connection with 1009, and only that one."""
        async with open_live_server() as door, door.admitted() as other:
            async with door.admitted() as client:
                with suppress(ConnectionClosed):
                    await client.socket.send([bytes(MAX_FRAME), b"x"])
                await client.rest()
                assert client.closed_with == 1009
            await other.say(*SAID)
            await other.end()
            await other.rest()
            assert other.text == TEXT

    async def test_the_operator_decides_when_utterances_are_completed(self) -> None:
        """By the silence that ends one, and by how long words wait; two streams say it."""
        async with open_live_server(live_endpoint_s=0.3, live_patience_s=2) as door:
            async with door.admitted() as client:
                await client.say(speak([1, 2]), pause(0.5), speak([3]))
                while not client.completed:
                    await client.next()
                assert client.text == "w1 w2"
            async with door.admitted() as client:
                for word in range(1, 31, 3):
                    await client.say(speak(range(word, word + 3)), pause(0.15))
                    if word > 2:
                        await client.next()
                assert len(client.completed) > 1

    async def test_words_are_timed_on_the_wire(self) -> None:
        """Word times are there where the client asked for them, and only there."""
        async with open_live_server() as door:
            timed = await door.transcribe(pause(1.0), *SAID, word_timestamps=True)
            plain = await door.transcribe(pause(1.0), *SAID)
        words = [word for segment in timed.completed for word in segment["words"]]
        assert [word["word"] for word in words] == [" w100", " w200", " w300"]
        assert float(words[0]["start"]) == pytest.approx(1.0, abs=0.025)
        assert not any("words" in segment for segment in plain.completed)

    async def test_sliding_window(self) -> None:
        """A message carries as many completed segments as the client wants to see."""
        said = [piece for n in range(1, 6) for piece in (speak([n]), pause(1.2))]
        async with open_live_server() as door:
            client = await door.transcribe(*said, send_last_n_segments=2)
        shown = [each["segments"] for each in client.messages if "segments" in each]
        assert max(sum(s["completed"] for s in segments) for segments in shown) == 2
        assert client.text == "w1 w2 w3 w4 w5"


class TestTrouble:
    """Clients and models that misbehave."""

    async def test_vanished_client_leaves_nothing(self) -> None:
        """A client that is gone without END takes its queued work along, and only its own."""
        held = GatedBackend()
        async with open_live_server(held) as door, door.admitted() as other:
            async with door.admitted() as client:
                for _ in range(3):
                    await client.say(speak([1, 2]), pause(1.2))
                await anyio.to_thread.run_sync(held.reached.wait, TIMEOUT_S)
                gone = [each.gone for each in door.admission._clients]
                client.socket.transport.abort()
                with anyio.fail_after(TIMEOUT_S):
                    async with anyio.create_task_group() as tasks:
                        for event in gone:
                            tasks.start_soon(_cancel_after, event, tasks.cancel_scope)
            assert door.live.n_clients == 1
            assert door.engine.queue_depth == 0
            held.gate.set()
            await other.say(*SAID)
            await other.end()
            await other.rest()
            assert other.text == TEXT

    async def test_failing_model_ends_no_stream(self) -> None:
        """An utterance that the model can't read is missing; the others are there."""
        said = (speak([1]), pause(1.2), speak([int(Trouble.CALL_DIES)]), pause(1.2), speak([3]))
        async with open_live_server() as door:
            client = await door.transcribe(*said)
        assert client.text == "w1 w3"
        assert client.closed_with == 1000

    async def test_slow_reader_harms_nobody(self) -> None:
        """A client that does not read is no longer heard; others are, and it loses nothing."""
        words = [1 + n % 900 for n in range(150)]
        async with open_live_server() as door:
            door.shrink_buffers()
            async with (
                door.client(max_queue=1, sock=door.small_socket()) as slow,
                anyio.create_task_group() as sending,
            ):
                await slow.greet(send_last_n_segments=0)
                has_sent_all = anyio.Event()

                async def send() -> None:
                    for word in words:
                        await slow.say(speak([word]), pause(1.2))
                    await slow.end()
                    has_sent_all.set()

                sending.start_soon(send)
                for _ in range(3):
                    assert (await door.transcribe(*SAID)).text == TEXT
                assert not has_sent_all.is_set()
                assert door.engine.queue_depth <= BACKLOG + 2
                await slow.rest()
            assert slow.text.split() == [f"w{word}" for word in words]

    async def test_many_connections_leave_nothing_behind(self) -> None:
        """After 1,000 clients there are as many tasks, threads and files, and no more memory."""
        async with open_live_server() as door:
            await _visits(door, 50)
            before, memory = await _resources(door), _resident_kb()
            await _visits(door, 1000)
            after = await _resources(door)
            for now, then in zip(after, before, strict=True):
                assert now <= then, (before, after)  # an idle thread may have ended meanwhile
            assert _resident_kb() - memory < 4000  # one idle stream alone has 17
            assert door.engine.queue_depth == door.live.n_clients == 0


async def _visits(door: OpenLiveServer, number: int) -> None:
    """So many clients, one after the other, that leave in all kinds of ways."""
    for visit in range(number):
        async with door.client() as client:
            if visit % 5 == 0:
                await client.socket.send("not JSON")
                await client.rest()
                continue
            await client.greet()
            await client.next()
            await client.say(speak([1 + visit]))
            await _leave(client, ("END", "close", "abort", "text")[visit % 4])
            await door.wait_until_empty()


async def _leave(client: LiveClient, how: str) -> None:
    match how:
        case "END":
            await client.end()
            await client.rest()
        case "close":
            await client.socket.close()
        case "abort":
            client.socket.transport.abort()
        case "text":
            await client.socket.send("bye")
            await client.rest()


async def _resources(door: OpenLiveServer) -> tuple[int, int, int]:
    """(tasks, threads, open files) once everything has come to rest."""
    await door.wait_until_disconnected()
    await anyio.wait_all_tasks_blocked()
    tasks = len(anyio.get_running_tasks())
    return tasks, threading.active_count(), len(os.listdir("/proc/self/fd"))  # noqa: PTH208 (a count)


def _resident_kb() -> int:
    """Memory of this process that is in use, in kB, without what only waits to be collected."""
    gc.collect()
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0])


async def _cancel_after(event: anyio.Event, scope: anyio.CancelScope) -> None:
    """Wait for the first of several events."""
    await event.wait()
    scope.cancel()


def _with_negatives(samples: Samples) -> Samples:
    """As loud, but on both sides of zero, as sound is; where the fake looks it stays positive."""
    swinging = samples.copy()
    swinging[3::4] *= -1
    return swinging

import json
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import anyio
import anyio.lowlevel
import anyio.to_thread
import numpy as np
import pytest
from asgi_client import client
from fastapi import FastAPI
from gated_backend import TIMEOUT_S
from starlette.types import Message

from whisperlive_hybrid.backends.base import Generate
from whisperlive_hybrid.backends.fake import FakeBackend, FakeEncoded, Trouble, pause, speak
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.model_pool import ModelSpec
from whisperlive_hybrid.server.http import sse as streaming
from whisperlive_hybrid.types import Hypothesis, Samples

pytestmark = pytest.mark.anyio

OpenApp = Callable[..., AbstractAsyncContextManager[tuple[FastAPI, Engine]]]
WriteWav = Callable[[Samples], bytes]

HELD = 9
"""The word at which `GatedWord` waits."""


class GatedWord(FakeBackend):
    """Reads everything at once but the word `HELD`, which waits for the gate."""

    def __init__(self, name: str = "fake") -> None:
        super().__init__(name)
        self.gate = threading.Event()

    def generate(self, batch: Sequence[Generate]) -> list[Hypothesis | Exception]:
        """Wait at the gate, if it is that word."""
        for work in batch:
            words = work.encoded.words if isinstance(work.encoded, FakeEncoded) else ()
            if any(word == HELD for word, _, _ in words) and not self.gate.wait(TIMEOUT_S):
                raise TimeoutError("the test never opened the gate")
        return super().generate(batch)


def utterances(*words: int) -> Samples:
    """Each word an utterance of its own."""
    return np.concatenate([part for word in words for part in (speak([word]), pause(2.5))])


async def nothing(_: str) -> None:
    """Watch a reply and do nothing about it."""


@dataclass
class Caller:
    """An ASGI server with one request: a file and fields, and a connection that can be cut."""

    app: FastAPI
    audio: bytes
    fields: dict[str, str] = field(default_factory=lambda: {"stream": "true"})
    on_body: Callable[[str], Awaitable[None]] = nothing
    """Called with each part of the body, before it is taken."""

    def __post_init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = ""
        self.is_complete = False
        self.has_gone = anyio.Event()
        self._body_is_sent = False
        self._readers = 0

    async def call(self) -> "Caller":
        """Send the request and take its reply."""
        headers = [(b"content-type", b"multipart/form-data; boundary=x")]
        path = "/v1/audio/transcriptions"
        scope = {"type": "http", "method": "POST", "path": path, "query_string": b""}
        await self.app({**scope, "headers": headers}, self._receive, self._send)
        return self

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events of the body."""
        frames = self.body.split("\n\n")
        assert frames.pop() == ""
        assert all(frame.startswith("data: ") for frame in frames)
        return [json.loads(frame.removeprefix("data: ")) for frame in frames]

    @property
    def deltas(self) -> list[str]:
        """The pieces of text."""
        return [event["delta"] for event in self.events if "delta" in event]

    async def _receive(self) -> Message:
        self._readers += 1
        assert self._readers == 1, "a second reader would take the first one's message"
        try:
            if not self._body_is_sent:
                self._body_is_sent = True
                return {"type": "http.request", "body": self._form()}
            await self.has_gone.wait()
            return {"type": "http.disconnect"}
        finally:
            self._readers -= 1

    async def _send(self, message: Message) -> None:
        assert not self.is_complete
        if message["type"] == "http.response.start":
            assert not self.status
            self.status = message["status"]
            self.headers = {name.decode(): v.decode() for name, v in message["headers"]}
            return
        part = message["body"].decode()
        await self.on_body(part)
        self.body += part
        self.is_complete = not message.get("more_body", False)

    def _form(self) -> bytes:
        head = '--x\r\nContent-Disposition: form-data; name="{}"{}\r\n\r\n'
        fields = "".join(head.format(name, "") + f"{v}\r\n" for name, v in self.fields.items())
        file = head.format("file", '; filename="a"')
        return (fields + file).encode() + self.audio + b"\r\n--x--\r\n"


async def test_text_is_sent_while_the_rest_is_read(open_app: OpenApp, write_wav: WriteWav) -> None:
    """The first words are with the client before the model has read the last ones."""
    backend = GatedWord()

    async def on_body(part: str) -> None:
        if '"delta":"w1"' in part:
            assert not backend.gate.is_set()
            backend.gate.set()

    async with open_app(backend) as (app, _):
        audio = write_wav(utterances(1, 2, HELD))
        reply = await Caller(app, audio, on_body=on_body).call()
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert reply.headers["x-request-id"].startswith("req_")
    assert "content-length" not in reply.headers
    assert reply.deltas == ["w1", " w2", " w9"]
    assert [event["type"] for event in reply.events].index("transcript.text.done") == 3
    assert reply.events[-1]["text"] == "w1 w2 w9"
    assert reply.is_complete


async def test_silence_is_an_empty_text(open_app: OpenApp, write_wav: WriteWav) -> None:
    """No delta, and still an end."""
    async with open_app() as (app, _):
        reply = await Caller(app, write_wav(pause(1.0))).call()
    assert [event["type"] for event in reply.events] == ["transcript.text.done"]
    assert reply.events[0]["text"] == ""


async def test_what_fails_before_the_first_words_has_a_status(
    open_app: OpenApp, write_wav: WriteWav
) -> None:
    """A client learns it as from any other request, and an SDK can try again."""
    too_short = write_wav(speak([1])[: round(0.09 * 16_000)])
    no_vad = {"chunking_strategy[silence_duration_ms]": "0"}
    async with open_app() as (app, engine):
        cases: list[tuple[bytes, dict[str, str], int]] = [
            (b"no audio", {}, 400),
            (too_short, no_vad, 400),
            (write_wav(speak([1])), {"language": "fr"}, 400),
            (write_wav(speak([Trouble.ITEM_FAILS])), {}, 500),
        ]
        for audio, fields, status in cases:
            reply = await Caller(app, audio, {"stream": "true", **fields}).call()
            assert (reply.status, list(json.loads(reply.body))) == (status, ["error"])
            assert reply.headers["content-type"] == "application/json"
        await engine.drain(0)
        reply = await Caller(app, write_wav(speak([1]))).call()
        assert (reply.status, reply.headers["retry-after"]) == (503, "30")


async def test_what_fails_later_is_the_last_event(open_app: OpenApp, write_wav: WriteWav) -> None:
    """The words that were read stay, and the error has its four keys."""
    async with open_app() as (app, engine):
        reply = await Caller(app, write_wav(utterances(1, Trouble.ITEM_FAILS, 2))).call()
        assert engine.queue_depth == 0
    assert reply.status == 200
    assert reply.deltas == ["w1"]
    assert list(reply.events[-1]) == ["error"]
    assert reply.events[-1]["error"] == {
        "message": "The model failed on this audio.",
        "type": "server_error",
        "param": None,
        "code": None,
    }
    assert reply.is_complete


class Breaking:
    """A recording whose file is lost after the first utterance."""

    duration_s = None

    def blocks(self) -> Iterator[Samples]:
        """Speak, then fail."""
        yield utterances(1)
        raise FileNotFoundError("/etc/secret")


async def test_a_defect_in_a_stream_shows_nothing(open_app: OpenApp) -> None:
    """The client gets the error object without the cause, the server's log the exception."""

    @contextmanager
    def media(_: BinaryIO, /, **_options: object) -> Iterator[Breaking]:
        yield Breaking()

    async with open_app(media=media) as (app, _):
        caller = Caller(app, b"x")
        with pytest.raises(FileNotFoundError):
            await caller.call()
    assert "secret" not in caller.body
    assert caller.events[-1]["error"]["type"] == "server_error"
    assert caller.is_complete


async def test_a_client_that_hangs_up_ends_the_work(open_app: OpenApp, write_wav: WriteWav) -> None:
    """Its windows leave the queue, its file is deleted, and nothing is raised into the log."""
    backend = GatedWord()
    files: list[BinaryIO] = []
    audio = write_wav(utterances(1, HELD))

    class Recording:
        duration_s = None

        def blocks(self) -> Iterator[Samples]:
            yield utterances(1, HELD)

    @contextmanager
    def media(file: BinaryIO, /, **_options: object) -> Iterator[Recording]:
        files.append(file)
        yield Recording()

    async with open_app(backend, media=media) as (app, engine):

        async def on_body(_: str) -> None:
            assert not files[0].closed
            caller.has_gone.set()

        caller = Caller(app, audio, on_body=on_body)
        await caller.call()
        assert engine.queue_depth == 0
        assert not backend.gate.is_set()
        backend.gate.set()
    assert caller.deltas == ["w1"]
    assert not caller.is_complete
    assert files[0].closed


async def test_a_client_that_takes_nothing_is_given_up(
    open_app: OpenApp, write_wav: WriteWav, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot hold a model and a file for ever."""
    monkeypatch.setattr(streaming, "STALLED_S", 0.01)

    async def on_body(_: str) -> None:
        await anyio.sleep_forever()

    async with open_app() as (app, engine):
        caller = await Caller(app, write_wav(utterances(1, 2)), on_body=on_body).call()
        assert engine.queue_depth == 0
    assert (caller.status, caller.body) == (200, "")


async def test_a_slow_client_slows_the_reading(open_app: OpenApp, write_wav: WriteWav) -> None:
    """While it takes nothing, no more windows are read than a file may have in the engine."""
    backend = FakeBackend(generate_batch=2)
    n_taken = 0
    most_ahead = 0

    async with open_app(backend) as (app, engine):

        def wait_for_idle_engine() -> None:
            with engine._changed:
                engine._changed.wait_for(lambda: not engine._calls, TIMEOUT_S)

        async def on_body(part: str) -> None:
            nonlocal n_taken, most_ahead
            for _ in range(10):
                await anyio.lowlevel.checkpoint()
            await anyio.to_thread.run_sync(wait_for_idle_engine)
            n_read = sum(n for kind, n in backend.calls if kind is Generate)
            most_ahead = max(most_ahead, n_read - n_taken)
            n_taken += '"delta"' in part

        audio = write_wav(utterances(*range(1, 12)))
        reply = await Caller(app, audio, on_body=on_body).call()
    assert len(reply.deltas) == 11
    assert 1 < most_ahead <= 2 * 2 + 1  # a batch that runs, one that gathers, one being cut


async def test_a_stream_holds_its_model(open_app: OpenApp, write_wav: WriteWav) -> None:
    """No other model may take its room before the last event."""
    streaming_backend = GatedWord("a")
    others = [
        ModelSpec("a", 600, lambda: streaming_backend),
        ModelSpec("b", 600, lambda: FakeBackend("b")),
    ]
    async with open_app(others=others) as (app, _):

        async def ask_for_b() -> int:
            fields = {"model": "b", "stream": "true"}
            return (await Caller(app, write_wav(speak([1])), fields).call()).status

        async def on_body(part: str) -> None:
            if '"w1"' in part:
                assert await ask_for_b() == 429
                streaming_backend.gate.set()

        fields = {"model": "a", "stream": "true"}
        audio = write_wav(utterances(1, HELD))
        reply = await Caller(app, audio, fields, on_body).call()
        assert reply.events[-1]["text"] == "w1 w9"
        assert await ask_for_b() == 200


@pytest.mark.parametrize("response_format", ["json", "text"])
async def test_formats_that_are_only_text_may_be_streamed(
    open_app: OpenApp, write_wav: WriteWav, response_format: str
) -> None:
    """The events are the same."""
    async with open_app() as (app, _):
        fields = {"stream": "True", "response_format": response_format}
        reply = await Caller(app, write_wav(utterances(1, 2)), fields).call()
    assert reply.deltas == ["w1", " w2"]


@pytest.mark.parametrize("response_format", ["verbose_json", "srt", "vtt"])
async def test_formats_with_times_are_sent_as_a_whole(
    open_app: OpenApp, write_wav: WriteWav, response_format: str
) -> None:
    """The request of `litellm.transcription(stream=True)`, field by field (LiteLLM 1.110.2).

    It asks for verbose_json where its caller has named no format, and can read no stream of it.
    """
    fields = {"model": "whisper-1", "response_format": response_format, "stream": "true"}
    whole = {name: value for name, value in fields.items() if name != "stream"}
    async with open_app() as (app, _), client(app) as http:
        files = {"file": ("talk.wav", write_wav(speak([1, 2])), "audio/wav")}
        asked, expected = [
            await http.post("/v1/audio/transcriptions", data=data, files=files)
            for data in (fields, whole)
        ]
    assert asked.status_code == 200
    assert asked.headers["content-type"] == expected.headers["content-type"]
    assert asked.content == expected.content

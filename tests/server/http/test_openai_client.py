"""OpenAI's own Python client against a real port: the judge of the contract."""

import io
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from types import SimpleNamespace
from typing import Any

import anyio
import httpx
import numpy as np
import openai
import pytest

from whisperlive_hybrid.backends.base import Generate
from whisperlive_hybrid.backends.fake import FakeBackend, Trouble, pause, speak
from whisperlive_hybrid.types import Hypothesis, Samples

WriteWav = Callable[[Samples], bytes]


@pytest.fixture
def audio(write_wav: WriteWav) -> bytes:
    """Two utterances."""
    return write_wav(speak_twice())


def speak_twice() -> Samples:
    """The words w1 and w2, a second of silence, and w3."""
    return np.concatenate([speak([1, 2]), pause(2.5), speak([3])])


@pytest.fixture
def client(served: str) -> Iterator[openai.OpenAI]:
    """A client as people write it: only the address is ours."""
    with openai.OpenAI(base_url=f"{served}/v1", api_key="none", max_retries=0) as connected:
        yield connected


def test_json(client: openai.OpenAI, audio: bytes) -> None:
    """The text and its usage."""
    made = client.audio.transcriptions.create(file=audio, model="whisper-1")
    assert made.text == "w1 w2 w3"
    assert made.usage is not None
    assert made.usage.type == "duration"
    assert made.usage.seconds == 4


def test_verbose_json_with_words(client: openai.OpenAI, audio: bytes) -> None:
    """Segments and measured words, in order and inside the recording."""
    made = client.audio.transcriptions.create(
        file=audio,
        model="whisper-1",
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
    )
    assert (made.language, made.duration, made.text) == ("english", 3.58, "w1 w2 w3")
    assert made.words is not None
    assert [word.word for word in made.words] == ["w1", "w2", "w3"]
    assert [word.start for word in made.words] == pytest.approx([0.0, 0.36, 3.22], abs=0.021)
    assert made.segments is not None
    assert [segment.text for segment in made.segments] == [" w1 w2", " w3"]
    assert made.model_extra == {"task": "transcribe", "unread": []}


@pytest.mark.parametrize(
    ("response_format", "beginning"),
    [
        ("text", "w1 w2 w3\n"),
        ("srt", "1\n00:00:00,000 --> "),
        ("vtt", "WEBVTT\n\n00:00:00.000 --> "),
    ],
)
def test_text_formats(
    client: openai.OpenAI, audio: bytes, response_format: str, beginning: str
) -> None:
    """The client hands these over as strings."""
    made = client.audio.transcriptions.create(
        file=audio,
        model="whisper-1",
        response_format=response_format,  # type: ignore[call-overload]
    )
    assert made.startswith(beginning)


def test_translation(client: openai.OpenAI, audio: bytes) -> None:
    """OpenAI retires the endpoint and says so; here it stays."""
    with pytest.warns(DeprecationWarning, match="deprecated"):
        made = client.audio.translations.create(
            file=audio, model="whisper-1", response_format="verbose_json"
        )
    assert (made.language, made.text) == ("english", "w1 w2 w3")


def test_chunking_strategy_reaches_the_server(client: openai.OpenAI, audio: bytes) -> None:
    """The client's own spelling of nested fields is understood and checked."""
    made = client.audio.transcriptions.create(
        file=audio, model="whisper-1", chunking_strategy={"type": "server_vad", "threshold": 0.4}
    )
    assert made.text == "w1 w2 w3"
    with pytest.raises(openai.BadRequestError) as e:
        client.audio.transcriptions.create(
            file=audio, model="whisper-1", chunking_strategy={"type": "server_vad", "threshold": 4}
        )
    assert e.value.param == "chunking_strategy[threshold]"


def test_extra_fields(client: openai.OpenAI, write_wav: WriteWav) -> None:
    """What Whisper servers offer beyond OpenAI goes through `extra_body`, nested or not."""
    audio = write_wav(np.concatenate([speak([1]), pause(2.5), speak([2])]))

    def n_segments(extra: dict[str, object]) -> int:
        made = client.audio.transcriptions.create(
            file=audio, model="whisper-1", response_format="verbose_json", extra_body=extra
        )
        return len(made.segments or [])

    assert n_segments({}) == 2
    assert n_segments({"hotwords": "w1, w2", "vad": True}) == 2
    assert n_segments({"vad_filter": False}) == 2
    assert n_segments({"vad_parameters": {"min_silence_duration_ms": 4000}}) == 1
    assert n_segments({"vad_parameters": '{"min_silence_duration_ms": 4000}'}) == 1
    with pytest.raises(openai.BadRequestError) as e:
        n_segments({"vad_parameters": {"max_speech_duration_s": 5}})
    assert e.value.code == "unknown_parameter"
    assert e.value.param == "vad_parameters[max_speech_duration_s]"


def test_refusals_keep_their_names(client: openai.OpenAI, audio: bytes) -> None:
    """Programs branch on the class, the code and the param."""
    with pytest.raises(openai.BadRequestError) as bad:
        client.audio.transcriptions.create(file=audio, model="whisper-1", language="klingon")
    assert (bad.value.code, bad.value.param) == ("invalid_value", "language")
    assert bad.value.type == "invalid_request_error"
    with pytest.raises(openai.BadRequestError, match="could not be decoded"):
        client.audio.transcriptions.create(file=b"MZ", model="whisper-1")
    with pytest.raises(openai.NotFoundError) as missing:
        client.audio.transcriptions.create(file=audio, model="no-such-model")
    assert missing.value.code == "model_not_found"
    assert missing.value.request_id is not None


def test_the_client_for_azure(served: str, audio: bytes) -> None:
    """It writes the model into the path, a version into the query, and its key into `api-key`."""
    with openai.AzureOpenAI(
        azure_endpoint=served, api_version="2024-06-01", api_key="none", max_retries=0
    ) as client:
        made = client.audio.transcriptions.create(file=audio, model="whisper-1")
        assert made.text == "w1 w2 w3"
        stream = client.audio.transcriptions.create(file=audio, model="whisper-1", stream=True)
        assert [event.type for event in stream][-1] == "transcript.text.done"
        assert [model.id for model in client.models.list()] == ["fake"]
        with pytest.raises(openai.NotFoundError):
            client.audio.transcriptions.create(file=audio, model="no-such-model")


def test_a_stream(client: openai.OpenAI, audio: bytes) -> None:
    """Pieces, then the whole text with its usage; afterwards the connection goes on."""
    with client.audio.transcriptions.create(file=audio, model="whisper-1", stream=True) as stream:
        events = list(stream)
    assert [event.type for event in events] == [
        "transcript.text.delta",
        "transcript.text.delta",
        "transcript.text.done",
    ]
    assert "".join(each.delta for each in events if each.type == "transcript.text.delta") == (
        "w1 w2 w3"
    )
    last = events[-1]
    assert last.type == "transcript.text.done"
    assert last.text == "w1 w2 w3"
    assert last.usage is not None
    assert last.usage.input_tokens == 179
    assert client.audio.transcriptions.create(file=audio, model="whisper-1").text == last.text


def test_logprobs(client: openai.OpenAI, audio: bytes) -> None:
    """One entry per token, whole and streamed alike."""
    request = {"file": audio, "model": "gpt-4o-transcribe", "include": ["logprobs"]}
    made = client.audio.transcriptions.create(**request)  # type: ignore[call-overload]
    stream = client.audio.transcriptions.create(**request, stream=True)  # type: ignore[call-overload]
    assert [each.token for each in made.logprobs] == [" w1", " w2", " w3"]
    assert [bytes(map(int, each.bytes)) for each in made.logprobs] == [b" w1", b" w2", b" w3"]
    assert made.logprobs[0].logprob == pytest.approx(math.log(0.001))
    *deltas, done = stream
    assert [len(delta.logprobs) for delta in deltas] == [2, 1]
    assert [each.logprob for each in done.logprobs] == [each.logprob for each in made.logprobs]


def test_languages(client: openai.OpenAI, audio: bytes) -> None:
    """A request with candidates gets the spoken language, whole and streamed alike."""
    request = {"file": audio, "model": "gpt-transcribe", "languages": ["de", "en"]}
    made = client.audio.transcriptions.create(**request)  # type: ignore[call-overload]
    *_, done = client.audio.transcriptions.create(**request, stream=True)  # type: ignore[call-overload]
    assert [each.code for each in made.languages] == ["en"]
    assert [each.code for each in done.languages] == ["en"]


def test_a_stream_that_fails(client: openai.OpenAI, write_wav: WriteWav) -> None:
    """What was read is delivered, then the client raises."""
    audio = np.concatenate([speak([1]), pause(2.5), speak([Trouble.ITEM_FAILS])])
    stream = client.audio.transcriptions.create(
        file=write_wav(audio), model="whisper-1", stream=True
    )
    first = next(iter(stream))
    assert first.type == "transcript.text.delta"
    with pytest.raises(openai.APIError, match="The model failed on this audio"):
        next(iter(stream))


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda audio: audio,
        io.BytesIO,
        lambda audio: ("talk.wav", audio),
        lambda audio: ("talk.wav", io.BytesIO(audio), "audio/wav"),
        lambda audio: ("no audio at all.exe", audio, "application/x-msdownload"),
    ],
    ids=["bytes", "BytesIO", "tuple", "tuple with type", "a name that lies"],
)
def test_uploads_of_every_kind(
    client: openai.OpenAI, audio: bytes, wrapped: Callable[[bytes], Any]
) -> None:
    """Name and type are the client's affair: only the content counts."""
    made = client.audio.transcriptions.create(file=wrapped(audio), model="whisper-1")
    assert made.text == "w1 w2 w3"


def test_a_file_without_a_name_is_a_text(client: openai.OpenAI, audio: bytes) -> None:
    """It is refused in OpenAI's words, however long it is."""
    with pytest.raises(openai.BadRequestError, match="Expected UploadFile, received: str"):
        client.audio.transcriptions.create(file=(None, audio), model="whisper-1")


def test_headers(client: openai.OpenAI, audio: bytes) -> None:
    """The raw response has OpenAI's headers, and the SDK finds the request's id."""
    raw = client.audio.transcriptions.with_raw_response.create(file=audio, model="whisper-1")
    assert raw.headers["openai-version"] == "2020-10-01"
    assert int(raw.headers["openai-processing-ms"]) >= 0
    assert raw.request_id == raw.headers["x-request-id"]
    with client.audio.transcriptions.with_streaming_response.create(
        file=audio, model="whisper-1", stream=True
    ) as streamed:
        assert streamed.headers["content-type"].startswith("text/event-stream")
        assert (streamed.request_id or "").startswith("req_")


async def read_async(address: str, audio: bytes) -> tuple[str, list[str]]:
    """A text and the kinds of events of a stream, both by the client for asyncio, side by side."""
    texts: list[str] = []
    kinds: list[str] = []
    async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="none") as client:

        async def whole() -> None:
            made = await client.audio.transcriptions.create(file=audio, model="whisper-1")
            texts.append(made.text)

        async def streamed() -> None:
            stream = await client.audio.transcriptions.create(
                file=audio, model="whisper-1", stream=True
            )
            kinds.extend([event.type async for event in stream])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(whole)
            tasks.start_soon(streamed)
    return texts[0], kinds


def test_the_client_for_asyncio(served: str, audio: bytes) -> None:
    """It gets the same."""
    text, kinds = anyio.run(read_async, served, audio)
    assert text == "w1 w2 w3"
    assert kinds == ["transcript.text.delta"] * 2 + ["transcript.text.done"]


class Held(FakeBackend):
    """Generates nothing until the gate opens."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.gate = threading.Event()

    def generate(self, batch: Sequence[Generate]) -> list[Hypothesis | Exception]:
        """Wait at the gate."""
        self.entered.set()
        self.gate.wait()
        return super().generate(batch)


@pytest.fixture
def held(serve: Callable[..., AbstractContextManager[str]]) -> Iterator[tuple[Held, str]]:
    """A backend that waits, behind a server with room for one file."""
    backend = Held()
    with serve(backend, queue_limit=1) as address:
        try:
            yield backend, address
        finally:
            backend.gate.set()


def test_a_full_server_is_a_rate_limit(held: tuple[Held, str], audio: bytes) -> None:
    """Typed, with the code and the time to wait."""
    backend, address = held
    with (
        openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        first = pool.submit(client.audio.transcriptions.create, file=audio, model="whisper-1")
        backend.entered.wait()
        with pytest.raises(openai.RateLimitError) as e:
            client.audio.transcriptions.create(file=audio, model="whisper-1")
        assert (e.value.code, e.value.type) == ("rate_limit_exceeded", "requests")
        assert int(e.value.response.headers["retry-after"]) >= 1
        backend.gate.set()
        assert first.result().text == "w1 w2 w3"


def test_the_clients_own_retry_finds_room(
    held: tuple[Held, str], audio: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for Retry-After, uploads the file again, and gets the whole text."""
    backend, address = held
    waits: list[float] = []
    statuses: list[int] = []

    with (
        ThreadPoolExecutor(1) as pool,
        openai.DefaultHttpxClient(
            event_hooks={"response": [lambda reply: statuses.append(reply.status_code)]}
        ) as http,
        openai.OpenAI(base_url=f"{address}/v1", api_key="none", http_client=http) as client,
    ):
        post = partial(httpx.post, f"{address}/v1/audio/transcriptions", files={"file": audio})
        first = pool.submit(post)
        backend.entered.wait()

        def sleep(seconds: float) -> None:
            waits.append(seconds)
            backend.gate.set()
            assert first.result().json()["text"] == "w1 w2 w3"

        monkeypatch.setattr("openai._base_client.time", SimpleNamespace(sleep=sleep))
        made = client.audio.transcriptions.create(file=audio, model="whisper-1")
    assert made.text == "w1 w2 w3"
    assert (statuses, waits) == ([429, 200], [5.0])


def test_models(client: openai.OpenAI) -> None:
    """The client can list them and look one up."""
    assert [model.id for model in client.models.list()] == ["fake"]
    assert client.models.retrieve("whisper-1").object == "model"


def test_a_large_upload_gets_its_answer(client: openai.OpenAI) -> None:
    """101 MiB are refused with a reply, not with a broken connection, and the port goes on."""
    with pytest.raises(openai.APIStatusError) as e:
        client.audio.transcriptions.create(file=bytes(101 * 1024 * 1024), model="whisper-1")
    assert e.value.status_code == 413
    assert client.models.retrieve("fake").id == "fake"


def test_a_large_upload_of_unknown_length_gets_its_answer(served: str) -> None:
    """The same for a body that comes in chunks, as from OpenAI's Node client."""

    def chunks() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(101):
            yield bytes(1024 * 1024)

    headers = {"content-type": "multipart/form-data; boundary=x"}
    with httpx.Client(base_url=served) as plain:
        reply = plain.post("/v1/audio/transcriptions", content=chunks(), headers=headers)
        assert reply.status_code == 413
        assert reply.json()["error"]["type"] == "server_error"
        assert plain.get("/health").status_code == 200

"""Groq's own Python client against a real port; its base URL is the server's address alone."""

from collections.abc import Callable, Iterator

import groq
import pytest

from whisperlive_hybrid.backends.fake import speak
from whisperlive_hybrid.types import Samples


@pytest.fixture
def audio(write_wav: Callable[[Samples], bytes]) -> bytes:
    """The words w1 and w2."""
    return write_wav(speak([1, 2]))


@pytest.fixture
def client(served: str) -> Iterator[groq.Groq]:
    """A client as people write it: only the address is ours."""
    with groq.Groq(base_url=served, api_key="none", max_retries=0) as connected:
        yield connected


def test_transcription(client: groq.Groq, audio: bytes) -> None:
    """The text, and the mark that Groq's answers carry, which the client keeps."""
    made = client.audio.transcriptions.create(file=("a.wav", audio), model="whisper-1")
    assert made.text == "w1 w2"
    assert made.model_extra is not None
    assert made.model_extra["x_groq"]["id"].startswith("req_")


def test_word_times(client: groq.Groq, audio: bytes) -> None:
    """Its lists are repeated fields with brackets."""
    made = client.audio.transcriptions.create(
        file=("a.wav", audio),
        model="whisper-1",
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
    )
    assert made.model_extra is not None
    assert [word["word"] for word in made.model_extra["words"]] == ["w1", "w2"]
    assert [segment["text"] for segment in made.model_extra["segments"]] == [" w1 w2"]


def test_translation_and_models(client: groq.Groq, audio: bytes) -> None:
    """The other routes that a transcribing program uses."""
    made = client.audio.translations.create(file=("a.wav", audio), model="whisper-1")
    assert made.text == "w1 w2"
    assert "whisper-1" in [model.id for model in client.models.list().data]


def test_a_refusal_keeps_its_names(client: groq.Groq, audio: bytes) -> None:
    """The body is Groq's and OpenAI's alike."""
    with pytest.raises(groq.BadRequestError) as refusal:
        client.audio.transcriptions.create(
            file=("a.wav", audio), model="whisper-1", language="klingon"
        )
    body = refusal.value.body
    assert isinstance(body, dict)
    assert body["error"]["param"] == "language"

"""OpenAI's Python client, real speech, the demo model: the same letters as without a server."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import openai
import pytest
from paths import CLIPS
from speech_clips import read_clips
from wav_files import write_wav

from whisperlive_hybrid.backends.ctranslate2 import Ct2Backend
from whisperlive_hybrid.backends.fake import pause
from whisperlive_hybrid.cli.batch.formats import BatchRequest, OutputFormat, Texts
from whisperlive_hybrid.cli.batch.inputs import plan_items
from whisperlive_hybrid.cli.batch.local import transcribe_locally
from whisperlive_hybrid.cli.batch.report import Outcome
from whisperlive_hybrid.config import FileSettings
from whisperlive_hybrid.models.files import demo_model
from whisperlive_hybrid.types import DecodeOptions, Task

NAMES = ["en-0.flac", "de-long-0.flac", "es-1.flac", "silence.flac"]


@pytest.fixture
def client(speech_server: str) -> Iterator[openai.OpenAI]:
    """A client as people write it."""
    with openai.OpenAI(base_url=f"{speech_server}/v1", api_key="none", max_retries=0) as connected:
        yield connected


def local(options: DecodeOptions) -> dict[str, Texts]:
    """What `whisperlive transcribe` makes of the clips."""
    made: dict[str, Texts] = {}

    def take(outcome: Outcome) -> bool:
        assert isinstance(outcome.result, Texts)
        made[outcome.item.name] = outcome.result
        return True

    items = plan_items([str(CLIPS / name) for name in NAMES], takes_urls=False)
    request = BatchRequest(options, tuple(OutputFormat))
    backend = Ct2Backend(demo_model(), device="cpu")
    anyio.run(transcribe_locally, backend, FileSettings(), items, request, lambda _: None, take)
    return {name: made[Path(name).stem] for name in NAMES}


@pytest.fixture(scope="module")
def transcripts() -> dict[str, Texts]:
    """Read with the defaults."""
    return local(DecodeOptions())


@pytest.mark.parametrize("name", NAMES)
def test_every_format_has_the_letters_of_the_local_path(
    client: openai.OpenAI, transcripts: dict[str, Texts], name: str
) -> None:
    """json, verbose_json, text, srt, vtt, a stream, and a text whose tokens are scored."""
    expected = transcripts[name].by_format
    text = expected[OutputFormat.TXT]
    body = json.loads(expected[OutputFormat.JSON])

    def ask(**request: Any) -> Any:  # noqa: ANN401 (any field, any answer)
        return client.audio.transcriptions.create(file=CLIPS / name, model="whisper-1", **request)

    assert ask(response_format="text") == text
    assert ask().text == text.strip()
    verbose = ask(response_format="verbose_json")
    assert (verbose.text, verbose.duration) == (text.strip(), body["duration"])
    assert [each.text for each in verbose.segments] == [each["text"] for each in body["segments"]]
    assert ask(response_format="srt") == expected[OutputFormat.SRT]
    assert ask(response_format="vtt") == expected[OutputFormat.VTT]
    *deltas, done = ask(stream=True)
    assert "".join(event.delta for event in deltas) == done.text == text.strip()
    scored = ask(include=["logprobs"])
    assert scored.text == text.strip()
    spelled = b"".join(bytes(map(int, token.bytes)) for token in scored.logprobs)
    assert spelled.decode().strip() == text.strip()


def test_translations_have_the_letters_of_the_local_path(client: openai.OpenAI) -> None:
    """The route that OpenAI retires, and says so."""
    expected = local(DecodeOptions(task=Task.TRANSLATE))["de-long-0.flac"]
    with pytest.warns(DeprecationWarning, match="deprecated"):
        made = client.audio.translations.create(
            file=CLIPS / "de-long-0.flac", model="whisper-1", response_format="text"
        )
    assert str(made) == expected.by_format[OutputFormat.TXT]


def test_the_language_is_detected_among_candidates(client: openai.OpenAI) -> None:
    """A German clip is German wherever that is possible, and never what was ruled out."""

    def languages(*candidates: str) -> list[str]:
        made = client.audio.transcriptions.create(
            file=CLIPS / "de-long-0.flac", model="gpt-transcribe", languages=list(candidates)
        )
        return [each.code for each in made.languages or []]

    assert languages("en", "de") == ["de"]
    assert languages("es", "en") in (["es"], ["en"])
    assert languages("fr") == ["fr"]


def test_a_recording_in_several_languages(client: openai.OpenAI, tmp_path: Path) -> None:
    """Each part is in its own, and the answer says where which is spoken."""
    by_name = {clip.file: clip for clip in read_clips(CLIPS)}
    english, german = (by_name[name] for name in ("en-long-0.flac", "de-long-0.flac"))
    talk = tmp_path / "talk.wav"
    talk.write_bytes(write_wav(np.concatenate([english.samples, pause(2.5), german.samples])))
    made = client.audio.transcriptions.create(
        file=talk,
        model="whisper-1",
        response_format="verbose_json",
        extra_body={"multilingual": True},
    )
    assert made.text.startswith(english.text)
    assert made.text.endswith("Sofia möchte das Buch. Das Haus ist schön.")
    assert made.language == "english"
    spoken = [(each.model_extra or {})["language"] for each in made.segments or []]
    assert spoken == sorted(spoken, reverse=True)
    assert set(spoken) == {"en", "de"}

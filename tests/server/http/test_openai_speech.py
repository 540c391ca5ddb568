"""OpenAI's Python client, real speech, the demo model: the same letters as without a server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import openai
import pytest

from whisperlive_hybrid.backends.ct2 import Ct2Backend
from whisperlive_hybrid.config import Settings
from whisperlive_hybrid.local import OutputFormat, transcribe_files, written
from whisperlive_hybrid.models import DEMO, find_model
from whisperlive_hybrid.transcribe import Transcript
from whisperlive_hybrid.types import DecodeOptions, Task

CLIPS = Path(__file__).parents[2] / "clips"
NAMES = ["en-0.flac", "de-long-0.flac", "es-1.flac", "silence.flac"]


@pytest.fixture
def client(speech_server: str) -> Iterator[openai.OpenAI]:
    """A client as people write it."""
    with openai.OpenAI(base_url=f"{speech_server}/v1", api_key="none", max_retries=0) as connected:
        yield connected


def local(options: DecodeOptions) -> dict[str, Transcript]:
    """What `whisperlive transcribe` makes of the clips."""
    made: dict[str, Transcript] = {}

    async def run() -> None:
        files = [CLIPS / name for name in NAMES]
        backend = Ct2Backend(find_model(DEMO), device="cpu")
        await transcribe_files(
            backend,
            Settings(),
            files,
            options,
            lambda _: None,
            lambda outcome: made.update({outcome.file.name: transcript(outcome.result)}),
        )

    anyio.run(run)
    return made


def transcript(result: object) -> Transcript:
    """A result that is no error."""
    assert isinstance(result, Transcript)
    return result


@pytest.fixture(scope="module")
def transcripts() -> dict[str, Transcript]:
    """Read with the defaults."""
    return local(DecodeOptions())


@pytest.mark.parametrize("name", NAMES)
def test_every_format_has_the_letters_of_the_local_path(
    client: openai.OpenAI, transcripts: dict[str, Transcript], name: str
) -> None:
    """json, verbose_json, text, srt, vtt, a stream, and a text whose tokens are scored."""
    expected = transcripts[name]
    text = written(expected, OutputFormat.TXT, DecodeOptions())

    def ask(**wish: Any) -> Any:  # noqa: ANN401 (any field, any answer)
        return client.audio.transcriptions.create(file=CLIPS / name, model="whisper-1", **wish)

    assert ask(response_format="text") == text
    assert ask().text == text.strip()
    verbose = ask(response_format="verbose_json")
    assert (verbose.text, verbose.duration) == (text.strip(), round(expected.duration, 3))
    assert [each.text for each in verbose.segments] == [each.text for each in expected.segments]
    assert ask(response_format="srt") == written(expected, OutputFormat.SRT, DecodeOptions())
    assert ask(response_format="vtt") == written(expected, OutputFormat.VTT, DecodeOptions())
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
    assert str(made) == written(expected, OutputFormat.TXT, DecodeOptions())


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

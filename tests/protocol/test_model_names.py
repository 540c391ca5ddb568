import pytest

from whisperlive_hybrid.errors import NotFound
from whisperlive_hybrid.models.catalogue import SPELLINGS
from whisperlive_hybrid.protocol.model_names import HOSTED, ModelNames

NAMES = ModelNames("base", ("small", "my-own"), SPELLINGS)


@pytest.mark.parametrize("name", [None, "base", "whisper-base", "Systran/faster-whisper-base"])
def test_the_first_model_answers_under_its_names(name: str | None) -> None:
    """And where none is named."""
    assert NAMES.resolve(name) == "base"


@pytest.mark.parametrize("name", HOSTED)
def test_names_of_the_hosted_api_mean_the_first_model(name: str) -> None:
    """Clients written for OpenAI need no new configuration, also where names are strict."""
    assert NAMES.resolve(name) == "base"
    assert ModelNames("base", (), SPELLINGS, is_strict=True).resolve(name) == "base"


@pytest.mark.parametrize(
    "name",
    [
        "tiny",
        "large-v3",
        "LARGE",
        "turbo",
        "medium.en",
        "whisper-large-v3-turbo",
        "distil-whisper-large-v3-en",
        "openai/whisper-large-v3",
        "Systran/faster-whisper-large-v3",
        "Systran/faster-distil-whisper-large-v3",
        "deepdml/faster-whisper-large-v3-turbo-ct2",
    ],
)
def test_a_known_model_that_is_not_served_means_transcribe_this(name: str) -> None:
    """The first model answers, unless the operator wants names to be taken at their word."""
    assert NAMES.resolve(name) == "base"
    strict = ModelNames("base", ("small",), SPELLINGS, is_strict=True)
    with pytest.raises(NotFound, match="offers 'base', 'small'") as refusal:
        strict.resolve(name)
    assert refusal.value.code == "model_not_found"


@pytest.mark.parametrize("name", ["small", "Small", "openai/whisper-small", "my-own"])
def test_a_model_that_is_offered_is_used_under_all_its_names(name: str) -> None:
    """A request that names it gets it."""
    assert NAMES.resolve(name) == ("my-own" if name == "my-own" else "small")


@pytest.mark.parametrize(
    "name", ["basse", "gpt-4o-transcribe-diarize", "/etc/passwd", "../base", "", "demo", "llama"]
)
def test_other_words_are_refused(name: str) -> None:
    """A misspelt name is not answered by some model or other, and no path is opened."""
    with pytest.raises(NotFound, match="this server offers 'base', 'small', 'my-own'"):
        NAMES.resolve(name)


def test_the_models_really_served_are_listed() -> None:
    """Without the names that only stand for them."""
    assert list(NAMES) == ["base", "small", "my-own"]

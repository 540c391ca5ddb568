from dataclasses import replace

import pytest

from whisperlive_hybrid.backends.fake import FakeBackend
from whisperlive_hybrid.errors import Unsupported
from whisperlive_hybrid.types import DecodeOptions, Task


@pytest.mark.parametrize(
    ("changes", "options", "param"),
    [
        ({}, DecodeOptions(language="fr"), "language"),
        ({}, DecodeOptions(candidates=("en", "fr")), "languages"),
        ({}, DecodeOptions(language="en", candidates=("en", "fr")), "languages"),
        ({"tasks": frozenset({Task.TRANSCRIBE})}, DecodeOptions(task=Task.TRANSLATE), "task"),
        ({"word_times": False}, DecodeOptions(words=True), "timestamp_granularities"),
        (
            {"token_probabilities": False},
            DecodeOptions(token_probabilities=True),
            "include",
        ),
        ({"languages": frozenset({"en"})}, DecodeOptions(switch_threshold=0.7), "multilingual"),
        ({"prompts": False}, DecodeOptions(prompt="a"), "prompt"),
        ({"prompts": False}, DecodeOptions(hotwords="a"), "prompt"),
        ({"widest_beam": 2}, DecodeOptions(beam_size=3), "beam_size"),
    ],
)
def test_what_a_model_cannot_do_is_refused(
    changes: dict[str, object], options: DecodeOptions, param: str
) -> None:
    """An option is honoured or refused by name, never dropped."""
    capabilities = replace(FakeBackend().capabilities, **changes)  # type: ignore[arg-type]  # literals above
    with pytest.raises(Unsupported) as refusal:
        capabilities.check(options)
    assert refusal.value.param == param


def test_what_a_model_can_do_is_not_refused() -> None:
    """Every option that the model honours is let through, and none is needed."""
    capabilities = FakeBackend().capabilities
    capabilities.check(DecodeOptions("de", Task.TRANSLATE, prompt="a", hotwords="b", words=True))
    capabilities.check(DecodeOptions(switch_threshold=0.7))
    humble = replace(
        capabilities, prompts=False, word_times=False, tasks=frozenset({Task.TRANSCRIBE})
    )
    humble.check(DecodeOptions())


def test_the_usual_search_is_as_wide_as_the_backend_has_it() -> None:
    """Only a width that was asked for on purpose is refused."""
    humble = replace(FakeBackend().capabilities, widest_beam=1)
    humble.check(DecodeOptions())
    humble.check(DecodeOptions(beam_size=1))

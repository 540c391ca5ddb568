"""Ends of sentences, by their marks."""

import pytest

from whisperlive_hybrid.text.words import ends_sentence


@pytest.mark.parametrize(
    "text", ["It rains.", "Does it?", '"It does!"', "(No…)", "下雨了。", "क्या।", "هل؟"]
)
def test_a_mark_ends_a_sentence(text: str) -> None:
    """In several scripts, with quotes and brackets behind it."""
    assert ends_sentence(text)


@pytest.mark.parametrize("text", ["It rains", "rain,", "3.5", '"rain"', ""])
def test_without_one_it_goes_on(text: str) -> None:
    """A point inside is none."""
    assert not ends_sentence(text)

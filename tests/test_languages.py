import pytest
from faster_whisper.tokenizer import _LANGUAGE_CODES

from whisperlive_hybrid.languages import LANGUAGES, is_auto_language, language_code, language_name


def test_knows_the_hundred_languages_of_whisper() -> None:
    """The table has every code of the models, once."""
    assert len(LANGUAGES) == 100
    assert set(LANGUAGES) == set(_LANGUAGE_CODES)
    assert len(set(LANGUAGES.values())) == 100


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("en", "en"),
        (" EN ", "en"),
        ("en-US", "en"),
        ("pt_BR", "pt"),
        ("zh-Hans-CN", "zh"),
        ("English", "en"),
        ("haitian creole", "ht"),
        ("yue", "yue"),
        ("xx", None),
        ("xx-US", None),
        ("", None),
        ("-", None),
    ],
)
def test_reads_a_language_as_people_write_it(written: str, code: str | None) -> None:
    """Codes in any case, with a region, and English names are languages; nothing else is."""
    assert language_code(written) == code


@pytest.mark.parametrize("written", ["auto", "Auto", " AUTO ", ""])
def test_auto_is_the_word_of_other_programs_for_detection(written: str) -> None:
    """The value `auto` of whisper.cpp and its front ends is no language."""
    assert is_auto_language(written)
    assert language_code(written) is None
    assert not is_auto_language("en")


def test_codes_and_names_mean_each_other() -> None:
    """Each language is found by its code and by its name."""
    assert [language_code(code) for code in LANGUAGES] == list(LANGUAGES)
    assert [language_code(language_name(code)) for code in LANGUAGES] == list(LANGUAGES)


def test_an_unknown_code_is_its_own_name() -> None:
    """A model may have languages that are not in the table."""
    assert language_name("tlh") == "tlh"

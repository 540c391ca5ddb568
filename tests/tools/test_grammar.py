"""The language of the demo model."""

import json
import random
import re

import pytest
from demo_speech import grammar, lexicon
from demo_speech.grammar import LANGUAGES, Sentence
from paths import CLIPS

MANIFEST = CLIPS / "manifest.json"

# Drawn when the model was trained.
FIRST_OF_SEED_999 = [
    ("It is three o'clock.", "Es ist drei Uhr.", "Son las tres."),
    ("The weather is warm here.", "Das Wetter ist hier warm.", "El tiempo es cálido aquí."),
    ("The chair is old.", "Der Stuhl ist alt.", "La silla es vieja."),
]


@pytest.fixture(scope="module")
def language() -> list[Sentence]:
    """Return every sentence of the grammar."""
    return grammar.draw_many(200_000, seed=0)


@pytest.fixture(scope="module")
def clips() -> list[dict[str, str]]:
    """Return the spoken clips of the manifest."""
    entries = json.loads(MANIFEST.read_text(encoding="utf-8"))
    return [entry for entry in entries if entry["language"]]


def _sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.?]) ", text)


def test_a_seed_always_says_the_same() -> None:
    """The sentences of a seed are part of the recipe: they never change."""
    rng = random.Random(999)
    assert [grammar.draw(rng).texts for _ in range(3)] == FIRST_OF_SEED_999


def test_the_whole_language_is_reached(language: list[Sentence]) -> None:
    """Every draw table counts: 4,831 sentences, 403 of them held out."""
    assert len(language) == 4831
    assert sum(map(grammar.is_held_out, language)) == 403


def test_sentences_are_parallel(language: list[Sentence]) -> None:
    """A sentence in one language has exactly one translation into each other."""
    for position in range(len(LANGUAGES)):
        assert len({sentence.texts[position] for sentence in language}) == len(language)


def test_names_and_questions_survive_translation(language: list[Sentence]) -> None:
    """The languages agree on who is spoken of and on what is asked."""
    for sentence in language:
        named = [
            {name for name in lexicon.NAMES if re.search(rf"\b{name}\b", text)}
            for text in sentence.texts
        ]
        assert named[0] == named[1] == named[2]
        assert len({text[-1] for text in sentence.texts}) == 1
        assert sentence.es.startswith("¿") == sentence.es.endswith("?")


def test_sentences_begin_with_a_capital(language: list[Sentence]) -> None:
    """The first letter is a capital in every language, also behind a "¿"."""
    texts = [text for sentence in language for text in sentence.texts]
    assert all(text.lstrip("¿")[0].isupper() for text in texts)


def test_set_phrases_are_never_held_out() -> None:
    """A set phrase is trained on whatever its CRC says."""
    phrases = [Sentence(said.en, said.de, said.es) for said in lexicon.SET_PHRASES]
    assert not any(map(grammar.is_held_out, phrases))


@pytest.mark.parametrize("held_out", [True, False])
def test_drawing_keeps_to_one_side(held_out: bool) -> None:
    """Test sentences are drawn from the held-out side alone, training sentences from the other."""
    rng = random.Random(4)
    drawn = [grammar.draw_from(rng, held_out=held_out) for _ in range(200)]
    assert {grammar.is_held_out(sentence) for sentence in drawn} == {held_out}


def test_clips_say_only_held_out_sentences(
    language: list[Sentence], clips: list[dict[str, str]]
) -> None:
    """No sentence of the test clips was ever trained on."""
    by_english = {sentence.en: sentence for sentence in language}
    for clip in clips:
        for english in _sentences(clip["english"]):
            assert grammar.is_held_out(by_english[english]), english


def test_clips_and_their_english_are_parallel(
    language: list[Sentence], clips: list[dict[str, str]]
) -> None:
    """The text and the English text of a clip are the same sentences of the grammar."""
    by_english = {sentence.en: sentence for sentence in language}
    for clip in clips:
        said = [by_english[english] for english in _sentences(clip["english"])]
        position = LANGUAGES.index(clip["language"])
        assert " ".join(sentence.texts[position] for sentence in said) == clip["text"]

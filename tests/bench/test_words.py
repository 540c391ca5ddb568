"""Normalised words and their alignment."""

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperlive_hybrid.bench.scoring import align, words_in
from whisperlive_hybrid.text.wer import edit_distance

WORDS = st.lists(st.sampled_from(["the", "cat", "sat", "on"]), max_size=9)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Peter learns, in the GARDEN.", ("peter", "learns", "in", "the", "garden")),
        ("¿Dónde está?", ("dónde", "está")),
        ("It is ten o'clock", ("it", "is", "ten", "oclock")),
        ("a well-known Straße", ("a", "well", "known", "strasse")),
        (" - … ", ()),
    ],
)
def test_case_and_punctuation_count_nowhere(text: str, words: tuple[str, ...]) -> None:
    """Words are letters and digits in one case, in every language."""
    assert words_in(text) == words


def test_every_kind_of_error_is_found() -> None:
    """A substitution, a deletion and an insertion are three edits around the words that match."""
    found = align(words_in("Where is the old door"), words_in("where was the door door now"))
    assert found.matches == ((0, 0), (2, 2), (4, 4))
    assert found.inserted == (5,)
    assert found.edits == 3


def test_a_text_that_breaks_off_lies_at_the_beginning() -> None:
    """Of two equal words the first is meant, as long as nothing says otherwise."""
    assert align(words_in("the cat and the dog"), ["the"]).matches == ((0, 0),)


@given(WORDS)
def test_a_text_matches_itself(words: list[str]) -> None:
    """Nothing is edited in a text that is the reference."""
    found = align(words, words)
    assert found.edits == 0
    assert found.matches == tuple((place, place) for place in range(len(words)))


@given(WORDS, WORDS)
def test_matches_are_equal_words_in_order(reference: list[str], hypothesis: list[str]) -> None:
    """Pairs rise on both sides, join equal words, and leave out what was inserted."""
    found = align(reference, hypothesis)
    assert all(reference[row] == hypothesis[column] for row, column in found.matches)
    for side in (0, 1):
        places = [pair[side] for pair in found.matches]
        assert places == sorted(set(places))
    assert not {column for _, column in found.matches} & set(found.inserted)


@given(WORDS.filter(bool), WORDS.filter(bool))
def test_edits_are_those_of_jiwer(reference: list[str], hypothesis: list[str]) -> None:
    """The word error rate is the one that everybody else reports."""
    theirs = jiwer.wer(" ".join(reference), " ".join(hypothesis))
    assert align(reference, hypothesis).edits / len(reference) == pytest.approx(theirs)


@given(WORDS, WORDS)
def test_counting_edits_needs_no_alignment(reference: list[str], hypothesis: list[str]) -> None:
    """The short way gives the same number as the long one."""
    assert edit_distance(reference, hypothesis) == align(reference, hypothesis).edits

"""Pieces: what of an open utterance may be completed, and what must wait."""

import pytest

from whisperlive_hybrid.text.pieces import PieceOptions, are_old, ready_words, sentence_end
from whisperlive_hybrid.types import Word

OPTIONS = PieceOptions(guard_s=1.0, shortest_s=2.0, patience_s=3.0)


def words(text: str) -> list[Word]:
    """Words of half a second each, from 0 s on."""
    return [Word(f" {word}", i / 2, (i + 1) / 2, 1.0) for i, word in enumerate(text.split())]


def test_the_newest_words_wait() -> None:
    """A second must have been heard behind a word."""
    said = words("and then we went")
    assert ready_words(said, 2.4, OPTIONS) == said[:2]
    assert ready_words(said, 2.5, OPTIONS) == said[:3]


@pytest.mark.parametrize("end", [".", "?", "!", "…", '."', "。", "؟"])
def test_a_sentence_ends_an_utterance(end: str) -> None:
    """By the mark at the end of its last word."""
    assert sentence_end(words(f"this has ended now{end} and this"), 0.0, OPTIONS) == 2.0


def test_the_last_sentence_that_has_ended_counts() -> None:
    """Several short ones are read together."""
    assert sentence_end(words("it was late. it was dark. nobody came"), 0.0, OPTIONS) == 3.0


def test_a_very_short_sentence_goes_on_with_the_next() -> None:
    """The model reads a few words badly by themselves."""
    assert sentence_end(words("No. I have never seen"), 0.0, OPTIONS) is None


def test_an_abbreviation_or_a_number_inside_is_no_end() -> None:
    """Only a mark at the end of a word ends a sentence."""
    assert sentence_end(words("about 3.5 metres of the U.S border"), 0.0, OPTIONS) is None


@pytest.mark.parametrize(
    "name", ["Mr. Thornton", "Dr. No", "J. Verne", "the U.S. Army", "St. John"]
)
def test_what_stands_before_a_name_is_no_end(name: str) -> None:
    """Titles and initials end with a full stop too."""
    assert sentence_end(words(f"it was then that {name} came"), 0.0, OPTIONS) is None


def test_words_grow_old() -> None:
    """What counts is how long ago the first of them was said, unless they may be any age."""
    said = words("and so it went on")
    assert not are_old(said, 3.4, OPTIONS)
    assert are_old(said, 3.5, OPTIONS)
    assert not are_old([], 9.0, OPTIONS)
    assert not are_old(said, 60.0, PieceOptions(patience_s=None))


def test_nothing_is_completed_before_it_can_be() -> None:
    """So soon words must be measured, and no sooner."""
    assert PieceOptions(shortest_s=3.0, patience_s=None).soonest_s == 3.0
    assert PieceOptions(shortest_s=5.0, patience_s=2.0).soonest_s == 2.0

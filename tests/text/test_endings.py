"""Early ends of utterances, and the beginnings of updates."""

from dataclasses import replace

import pytest

from whisperlive_hybrid.text.endings import EndingOptions, find_early_end, find_update_start
from whisperlive_hybrid.types import Word

SENTENCES = EndingOptions(guard_s=1.0, shortest_sentence_s=2.0)
PATIENT = replace(SENTENCES, shortest_sentence_s=60.0, patience_s=3.0, shortest_s=1.0)


def words(text: str) -> list[Word]:
    """Return words of half a second each, from 0 s on."""
    return [Word(f" {word}", i / 2, (i + 1) / 2, 1.0) for i, word in enumerate(text.split())]


def pause_at(time: float, length: float = 0.1) -> tuple[float, float]:
    """Return a pause around a time."""
    return time - length / 2, time + length / 2


PAUSES = [pause_at(n / 2) for n in range(1, 20)]
"""One after every word."""


def ended(text: str, heard: float = 9.0, options: EndingOptions = SENTENCES) -> float | None:
    """Return the early end of an utterance of stable words with a pause after each."""
    end = find_early_end(words(text), PAUSES, (0.0, heard), options)
    return None if end is None else round(end, 3)


@pytest.mark.parametrize("end", [".", "?", "!", "…", '."', "。", "؟"])
def test_a_sentence_ends_an_utterance(end: str) -> None:
    """The mark at the end of the last word decides."""
    assert ended(f"this has ended now{end} and this") == 2.0


def test_enough_audio_must_follow_it() -> None:
    """One second, since the newest words may change."""
    assert ended("this has ended now. and this", heard=2.9) is None
    assert ended("this has ended now. and this", heard=3.0) == 2.0


def test_the_last_sentence_that_has_ended_counts() -> None:
    """Several short sentences are one utterance."""
    assert ended("it was late. it was dark. nobody came") == 3.0


def test_a_very_short_sentence_goes_on_with_the_next() -> None:
    """The model is worse on a few words by themselves."""
    assert ended("No. I have never seen") is None


def test_a_sentence_without_a_pause_ends_nothing() -> None:
    """A cut in speech would cost a word."""
    said = words("this has ended now. and this")
    assert find_early_end(said, [pause_at(0.5), pause_at(2.5)], (0.0, 9.0), SENTENCES) is None


def test_an_abbreviation_or_a_number_inside_is_no_end() -> None:
    """Only a mark at the end of a word ends a sentence."""
    assert ended("about 3.5 metres of the U.S border") is None


@pytest.mark.parametrize(
    "name", ["Mr. Thornton", "Dr. No", "J. Verne", "the U.S. Army", "St. John"]
)
def test_what_stands_before_a_name_is_no_end(name: str) -> None:
    """Titles and initials end with a full stop too."""
    assert ended(f"it was then that {name} came") is None


def test_a_word_may_be_a_space() -> None:
    """Thai has spaces between phrases; such a word ends no sentence."""
    said = [
        Word(text, i / 2, (i + 1) / 2, 1.0) for i, text in enumerate(["สวัสดี", " ", "ครับ", "ผม"])
    ]
    assert find_early_end(said, PAUSES, (0.0, 9.0), SENTENCES) is None


def test_old_words_end_an_utterance_in_its_longest_pause() -> None:
    """Only pauses with enough audio after them, and not close to the beginning."""
    said = words("and so it went on and on and on")
    pauses = [pause_at(0.5, 0.4), pause_at(1.5, 0.2), pause_at(2.0), pause_at(4.0, 0.4)]
    assert find_early_end(said, pauses, (0.0, 3.4), PATIENT) is None
    assert find_early_end(said, pauses, (0.0, 3.5), PATIENT) == pytest.approx(1.5)
    assert find_early_end(said, pauses[:1], (0.0, 9.0), PATIENT) is None
    assert find_early_end(said, pauses, (0.0, 60.0), SENTENCES) is None
    assert find_early_end([], pauses, (0.0, 60.0), PATIENT) is None


def test_updates_go_on_in_the_last_pause_with_stable_words_on_both_sides() -> None:
    """Pauses with little audio or without a stable word after them do not count."""
    said = words("and then we went home again")
    pauses = [(0.9, 1.1), (1.9, 2.1), (4.0, 4.2)]
    assert find_update_start(said, pauses, 5.2) == pytest.approx(2.0)
    assert find_update_start(said, pauses, 4.3) == pytest.approx(1.0)
    assert find_update_start(said[:4], pauses, 6.0) == pytest.approx(1.0)
    assert find_update_start(said[:2], pauses, 6.0) is None
    assert find_update_start(said, [], 9.0) is None

import numpy as np
import pytest

from whisperlive_hybrid.text.language import CHECK_EVERY_S, LanguageMonitor, LanguageVote, is_switch
from whisperlive_hybrid.types import Language, Window, WindowSpan

EN, DE = Language("en", 1.0), Language("de", 0.9)


def spoken(start: float, seconds: float) -> Window:
    """Return a window of speech."""
    length = round(seconds * 16_000)
    span = WindowSpan(0, round(start * 16_000), length)
    return Window(np.zeros(length, np.float32), (span,), ((0.0, seconds),))


def test_one_sure_window_decides() -> None:
    """A probability above one half decides at once."""
    assert LanguageVote().add(Language("de", 0.51)) == Language("de", 0.51)


def test_an_unsure_window_does_not_decide() -> None:
    """A probability of one half does not decide."""
    assert LanguageVote().add(Language("de", 0.5)) is None


def test_a_sure_window_overrules_unsure_ones() -> None:
    """The first certain window decides, regardless of the ones before."""
    vote = LanguageVote()
    vote.add(Language("de", 0.4))
    vote.add(Language("de", 0.4))
    assert vote.add(Language("en", 0.9)) == Language("en", 0.9)


def test_the_fourth_unsure_window_ends_the_vote() -> None:
    """The most frequent language wins, at its own best probability."""
    vote = LanguageVote()
    heard = [("de", 0.2), ("en", 0.5), ("de", 0.4)]
    assert [vote.add(Language(code, p)) for code, p in heard] == [None] * 3
    assert vote.add(Language("nl", 0.3)) == Language("de", 0.4)


def test_a_short_recording_decides_with_what_it_has() -> None:
    """The end of the recording decides; without any window there is no language."""
    vote = LanguageVote()
    assert vote.decide() is None
    vote.add(Language("es", 0.3))
    assert vote.decide() == Language("es", 0.3)


@pytest.mark.parametrize(
    ("probability", "seconds", "switches"),
    [(0.7, 2.0, True), (0.69, 2.0, False), (1.0, 1.9, False)],
)
def test_the_language_changes_where_it_is_sure(
    probability: float, seconds: float, *, switches: bool
) -> None:
    """Neither a low probability nor a single word is a switch."""
    assert is_switch(Language("de", probability), spoken(0, seconds), 0.7) == switches


def test_a_recording_is_checked_at_its_begin_and_then_once_in_a_while() -> None:
    """Only long windows are checked, so that the cost is small."""
    watch = LanguageMonitor()
    asked = [watch.should_check(spoken(start, 10.0)) for start in range(0, 300, 10)]
    assert [10 * i for i, is_asked in enumerate(asked) if is_asked] == [0, 70, 140, 210, 280]
    assert not watch.should_check(spoken(400, 2.0))
    assert watch.should_check(spoken(402, 5.0))


def test_an_utterance_that_goes_on_is_checked_again() -> None:
    """The decoding of the shorter one was cancelled."""
    watch = LanguageMonitor()
    assert watch.should_check(spoken(0, 4.0))
    assert watch.should_check(spoken(0, 8.0))
    assert not watch.should_check(spoken(8.5, 8.0))
    assert watch.should_check(spoken(8.0 + CHECK_EVERY_S, 8.0))


def test_a_change_of_language_is_news_once() -> None:
    """Only a certain change counts; after it there are no more checks."""
    watch = LanguageMonitor()
    assert not watch.detects_change(EN, spoken(0, 5.0), Language("en", 0.9))
    assert not watch.detects_change(EN, spoken(0, 5.0), Language("de", 0.5))
    assert not watch.detects_change(EN, spoken(0, 2.0), DE)
    assert watch.detects_change(EN, spoken(0, 5.0), DE)
    assert not watch.detects_change(EN, spoken(9, 5.0), Language("es", 0.9))
    assert not watch.should_check(spoken(500, 20.0))

from whisperlive_hybrid.text.language import LanguageVote
from whisperlive_hybrid.types import Language


def test_one_sure_window_decides() -> None:
    """Above one half there is no need to hear more."""
    assert LanguageVote().hear(Language("de", 0.51)) == Language("de", 0.51)


def test_an_unsure_window_does_not_decide() -> None:
    """One half is not above one half."""
    assert LanguageVote().hear(Language("de", 0.5)) is None


def test_a_sure_window_overrules_unsure_ones() -> None:
    """The first sure window wins, whatever was guessed before."""
    vote = LanguageVote()
    vote.hear(Language("de", 0.4))
    vote.hear(Language("de", 0.4))
    assert vote.hear(Language("en", 0.9)) == Language("en", 0.9)


def test_the_fourth_unsure_window_ends_the_vote() -> None:
    """The most frequent language wins, at its own best probability."""
    vote = LanguageVote()
    heard = [("de", 0.2), ("en", 0.5), ("de", 0.4)]
    assert [vote.hear(Language(code, p)) for code, p in heard] == [None] * 3
    assert vote.hear(Language("nl", 0.3)) == Language("de", 0.4)


def test_a_short_recording_decides_with_what_it_has() -> None:
    """At its end the vote is taken; with nothing heard there is nothing to decide."""
    vote = LanguageVote()
    assert vote.decide() is None
    vote.hear(Language("es", 0.3))
    assert vote.decide() == Language("es", 0.3)

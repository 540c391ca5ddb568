"""Word delays of streams whose every moment is known."""

import pytest

from whisperlive_hybrid.bench.scoring import (
    Event,
    Line,
    Reference,
    SpokenWord,
    WordDelay,
    score_stream,
    words_in,
)

THE_DOOR_IS_OLD = Reference(
    words=(
        SpokenWord("The", 1.0),
        SpokenWord("door", 2.0),
        SpokenWord("is", 2.5),
        SpokenWord("old.", 3.0, ends_speech=True),
    ),
    silences=((3.0, 9.0),),
)


def _line(start: float, end: float, text: str) -> Line:
    return Line(round(start * 1000), round(end * 1000), text, words_in(text))


def _event(at: float, committed: list[Line], tentative: str = "", promised: int = 0) -> Event:
    return Event(at, tuple(committed), words_in(tentative), promised)


def test_a_word_is_guessed_lost_found_and_completed() -> None:
    """Each delay counts from the end of the word: to its first sight, its last coming, its end."""
    score = score_stream(
        THE_DOOR_IS_OLD,
        [
            _event(1.5, [], "The"),
            _event(2.25, [], "The door"),
            _event(2.75, [], "The dog is"),
            _event(3.25, [], "The door is old"),
            _event(4.0, [_line(0.5, 3.0, "The door is old.")]),
        ],
    )
    assert score.delays == (
        WordDelay(1.0, 0.5, 0.5, 3.0, False),
        WordDelay(2.0, 0.25, 1.25, 2.0, False),
        WordDelay(2.5, 0.25, 0.25, 1.5, False),
        WordDelay(3.0, 0.25, 0.25, 1.0, True),
    )
    assert score.edits == 0


def test_sentences_are_completed_one_by_one() -> None:
    """A word is committed with its own segment, not with the last one."""
    first, second = _line(0.5, 2.0, "The door"), _line(2.0, 3.0, "is old.")
    score = score_stream(THE_DOOR_IS_OLD, [_event(2.5, [first]), _event(5.0, [first, second])])
    assert [delay.commit for delay in score.delays] == [1.5, 0.5, 2.5, 2.0]


def test_delays_are_of_right_words_only() -> None:
    """A wrong word has no delay; it is an edit."""
    score = score_stream(THE_DOOR_IS_OLD, [_event(4.0, [_line(0.5, 3.0, "The dog is old.")])])
    assert [delay.end for delay in score.delays] == [1.0, 2.5, 3.0]
    assert (score.edits, score.reference_words) == (1, 4)


def test_text_that_never_completes_is_an_error() -> None:
    """What stays tentative to the end was not written: every word is missing."""
    score = score_stream(THE_DOOR_IS_OLD, [_event(4.0, [], "The door is old.")])
    assert (score.delays, score.edits) == ((), 4)


def test_a_stream_that_shows_nothing_has_every_word_wrong() -> None:
    """A refused stream counts: it has no delays and all errors."""
    score = score_stream(THE_DOOR_IS_OLD, [])
    assert (score.delays, score.edits, score.invented_words) == ((), 4, 0)


def test_a_repeated_word_is_not_shown_before_it_is_spoken() -> None:
    """The second "the" is not taken for shown when the first one is."""
    reference = Reference((SpokenWord("The", 1.0), SpokenWord("the", 5.0)), ())
    score = score_stream(
        reference,
        [
            _event(1.5, [], "the"),
            _event(2.0, [_line(0.5, 1.0, "The")]),
            _event(5.5, [_line(0.5, 1.0, "The")], "the"),
            _event(6.0, [_line(0.5, 1.0, "The"), _line(4.5, 5.0, "the")]),
        ],
    )
    assert [delay.first_display for delay in score.delays] == [0.5, 0.5]


def test_a_revised_text_is_committed_when_it_is_right() -> None:
    """Words count as completed from when they stand as they do at the end."""
    score = score_stream(
        THE_DOOR_IS_OLD,
        [
            _event(4.0, [_line(0.5, 3.0, "The dog is old.")]),
            _event(5.0, [_line(0.5, 3.0, "The door is old.")]),
        ],
    )
    assert [delay.commit for delay in score.delays] == [3.0, 3.0, 2.5, 2.0]


@pytest.mark.parametrize(("end", "invented"), [(6.0, 2), (4.0, 0)])
def test_words_in_a_long_silence_are_invented(end: float, invented: int) -> None:
    """Extra words count as invented where the middle of their segment has 2 s of silence."""
    lines = [_line(0.5, 3.0, "The door is old."), _line(end - 2.5, end, "Thank you.")]
    score = score_stream(THE_DOOR_IS_OLD, [_event(7.0, lines)])
    assert score.invented_words == invented
    assert score.edits == 2


def test_a_word_is_promised_when_the_server_calls_it_stable() -> None:
    """Not before, although it was shown; and a completed word needs no promise any more."""
    score = score_stream(
        THE_DOOR_IS_OLD,
        [
            _event(2.25, [], "The door"),
            _event(2.75, [], "The door is", promised=1),
            _event(3.25, [], "The door is old", promised=3),
            _event(4.0, [_line(0.5, 3.0, "The door is old.")]),
        ],
    )
    assert [delay.promise for delay in score.delays] == [1.75, 1.25, 0.75, 1.0]


def test_a_wrong_word_may_be_called_stable() -> None:
    """It counts for nothing: the right one is promised when it is completed."""
    score = score_stream(
        THE_DOOR_IS_OLD,
        [
            _event(3.25, [], "The dog is", promised=2),
            _event(4.0, [_line(0.5, 3.0, "The door is old.")]),
        ],
    )
    assert [delay.promise for delay in score.delays] == [2.25, 2.0, 1.5, 1.0]


def test_who_calls_nothing_stable_has_no_such_delay() -> None:
    """Other servers are measured without it."""
    score = score_stream(THE_DOOR_IS_OLD, [_event(4.0, [_line(0.5, 3.0, "The door is old.")])])
    assert {delay.promise for delay in score.delays} == {None}

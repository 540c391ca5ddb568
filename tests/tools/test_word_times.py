"""Word times from espeak-ng's marks."""

import pytest
from demo_speech.espeak import WordMark
from demo_speech.word_times import Span, spans_from_marks
from hypothesis import given
from hypothesis import strategies as st


def _times(spans: list[Span]) -> list[tuple[float, float]]:
    return [(round(span.start, 6), round(span.end, 6)) for span in spans]


def test_a_marked_word_lasts_until_the_next() -> None:
    """Each word runs from its own mark to the next one, the last to the end."""
    marks = [WordMark(0.1, 1, 3), WordMark(0.4, 5, 3), WordMark(0.9, 9, 5)]
    assert _times(spans_from_marks("The car waits", marks, 1.5)) == [
        (0.1, 0.4),
        (0.4, 0.9),
        (0.9, 1.5),
    ]


def test_words_spoken_as_one_share_by_letters() -> None:
    """Words without a mark of their own divide the interval of the marked word before them."""
    marks = [WordMark(0.0, 1, 2), WordMark(1.0, 8, 4)]
    assert _times(spans_from_marks("in the park", marks, 1.6)) == [
        (0.0, 0.4),
        (0.4, 1.0),
        (1.0, 1.6),
    ]


def test_the_first_word_begins_at_zero_without_a_mark() -> None:
    """A sentence whose first word is not marked begins with its sound."""
    assert _times(spans_from_marks("Wo ist", [WordMark(0.5, 4, 3)], 1.0)) == [
        (0.0, 0.5),
        (0.5, 1.0),
    ]


def test_only_the_first_mark_in_a_word_counts() -> None:
    """A word that is marked twice ("o'clock") begins with its first mark."""
    marks = [WordMark(0.0, 1, 3), WordMark(0.5, 5, 1), WordMark(0.6, 7, 5)]
    assert _times(spans_from_marks("ten o'clock", marks, 1.0)) == [(0.0, 0.5), (0.5, 1.0)]


def test_a_mark_between_words_belongs_to_none() -> None:
    """A mark on a space starts no word."""
    marks = [WordMark(0.2, 1, 3), WordMark(0.5, 4, 1)]
    assert _times(spans_from_marks("Bis morgen", marks, 1.1)) == [(0.2, 0.5), (0.5, 1.1)]


@given(
    st.lists(st.text("abcdefg", min_size=1, max_size=9), min_size=1, max_size=8),
    st.sets(st.integers(0, 7)),
)
def test_spans_leave_no_gap(words: list[str], marked: set[int]) -> None:
    """Whichever words are marked, each word ends where the next begins, and the last at the end."""
    text = " ".join(words)
    marks = [
        WordMark(0.1 * index, len(" ".join(words[:index])) + (2 if index else 1), len(word))
        for index, word in enumerate(words)
        if index in marked
    ]
    spans = spans_from_marks(text, marks, 1.0)
    assert len(spans) == len(words)
    assert [span.end for span in spans] == pytest.approx([*(s.start for s in spans[1:]), 1.0])
    assert all(span.start < span.end for span in spans)
    assert all(spans[index].start == 0.1 * index for index in marked if index < len(words))


def test_a_cut_moves_the_clock() -> None:
    """In a cut recording, times count from the cut and stay inside it."""
    assert Span(0.5, 3.0).cut(1.0, 1.5) == Span(0.0, 1.5)
    assert Span(1.25, 2.0).cut(1.0, 1.5) == Span(0.25, 1.0)

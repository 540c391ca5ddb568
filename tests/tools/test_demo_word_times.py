"""Word times from the phones of flite."""

from demo_model.flite import Phone
from demo_model.word_times import guess_spans, spans_from_phones
from demo_speech.word_times import Span


def _times(spans: list[Span]) -> list[tuple[float, float]]:
    return [(round(span.start, 6), round(span.end, 6)) for span in spans]


def test_phones_are_dealt_out_to_words() -> None:
    """A word lasts from its first phone to its last."""
    sounds = [Phone(0.1, 0.2, "s"), Phone(0.2, 0.3, "iy"), Phone(0.35, 0.5, "y")]
    assert spans_from_phones([2, 1], sounds) == [Span(0.1, 0.3), Span(0.35, 0.5)]


def test_phones_that_do_not_add_up_give_no_spans() -> None:
    """A sentence with another number of phones than its words gives no spans, not wrong ones."""
    assert spans_from_phones([2, 2], [Phone(0.0, 0.1, "s")] * 3) is None


def test_guessed_spans_are_generous() -> None:
    """A guess shares the sentence by letters and reaches 0.15 s further on both sides."""
    assert _times(guess_spans(["red", "letters"], 1.0, 2.0)) == [(0.85, 1.45), (1.15, 2.15)]

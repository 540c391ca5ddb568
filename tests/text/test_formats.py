from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from whisperlive_hybrid.text.cues import CueStyle
from whisperlive_hybrid.text.formats import plain_text, srt, vtt
from whisperlive_hybrid.types import Segment, Word


def segment(start: float, end: float, text: str) -> Segment:
    """Return a segment of times and text."""
    return Segment(start, end, text, (), 0.0, -0.1, 1.0, 0.0)


TWO = [segment(0.0, 3.0, " Hello, this is a test."), segment(3.0, 4.5678, " And more.")]


def test_plain_text_is_one_line_with_a_newline() -> None:
    """Segments keep their own spaces; the text has none at its ends and one final newline."""
    assert plain_text(TWO) == "Hello, this is a test. And more.\n"


def test_srt_to_the_letter() -> None:
    """Cues are numbered from 1, with a comma before the milliseconds and a blank line after."""
    assert srt(TWO) == (
        "1\n00:00:00,000 --> 00:00:03,000\nHello, this is a test.\n\n"
        "2\n00:00:03,000 --> 00:00:04,568\nAnd more.\n\n"
    )


def test_vtt_to_the_letter() -> None:
    """A header and a blank line, then cues with a dot before the milliseconds."""
    assert vtt(TWO) == (
        "WEBVTT\n\n"
        "00:00:00.000 --> 00:00:03.000\nHello, this is a test.\n\n"
        "00:00:03.000 --> 00:00:04.568\nAnd more.\n\n"
    )


def test_silence_makes_empty_files() -> None:
    """Without segments there are no cues, and a segment without text is no cue."""
    assert plain_text([]) == "\n"
    assert srt([segment(1, 2, " ")]) == ""
    assert vtt([]) == "WEBVTT\n\n"


def test_text_cannot_break_out_of_its_cue() -> None:
    """Blank lines and arrows in the text would start a new cue; WebVTT reads < and & as markup."""
    hostile = [segment(0, 1, " a\n\nb --> c <i> & d")]
    assert srt(hostile).splitlines()[2] == "a b -> c <i> & d"
    assert vtt(hostile).splitlines()[3] == "a b -> c &lt;i> &amp; d"


def test_a_cue_has_several_lines() -> None:
    """And ends with its last word, regardless of the time marks of the segment."""
    words = (Word(" Bring", 0.0, 0.4, 1.0), Word(" me", 0.4, 0.6, 1.0), Word(" tea", 0.6, 1.0, 1.0))
    spoken = replace(segment(0.0, 41.0, " Bring me tea"), words=words)
    narrow = CueStyle(max_line_width=8)
    assert srt([spoken], narrow) == "1\n00:00:00,000 --> 00:00:01,000\nBring\nme tea\n\n"
    assert vtt([spoken], narrow) == ("WEBVTT\n\n00:00:00.000 --> 00:00:01.000\nBring\nme tea\n\n")


def test_each_word_is_underlined_while_it_is_said() -> None:
    """In pauses there is no underlined word; both formats have the same tags and escapes."""
    words = (Word(" a<b", 0.0, 0.4, 1.0), Word(" me.", 0.5, 0.5, 1.0), Word(" ok", 0.9, 1.2, 1.0))
    spoken = replace(segment(0.0, 1.2, " a<b me. ok"), words=words)
    style = CueStyle(highlight_words=True)
    assert srt([spoken], style) == (
        "1\n00:00:00,000 --> 00:00:00,400\n<u>a<b</u> me. ok\n\n"
        "2\n00:00:00,400 --> 00:00:00,500\na<b me. ok\n\n"
        "3\n00:00:00,500 --> 00:00:00,900\na<b me. ok\n\n"
        "4\n00:00:00,900 --> 00:00:01,200\na<b me. <u>ok</u>\n\n"
    )
    assert "<u>a&lt;b</u> me. ok\n" in vtt([spoken], style)


def test_hours_grow_beyond_two_digits() -> None:
    """A recording may last longer than 99 hours."""
    assert "100:00:01,000 --> 100:00:02,000" in srt([segment(360_001, 360_002, " late")])


def test_a_cue_ends_after_it_starts() -> None:
    """Times that are equal, reversed or equal after rounding give a cue of 1 ms."""
    for end in (1.0, 0.5, 1.0004):
        assert "00:00:01,000 --> 00:00:01,001" in srt([segment(1.0, end, " x")])


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=12).map(sorted))
def test_rounding_keeps_the_order(times: list[float]) -> None:
    """Segments in order give cues in order: no start moves before the one ahead of it."""
    pairs = pairwise(times)
    lines = srt([segment(start, end, " x") for start, end in pairs]).splitlines()
    cues = [line.split(" --> ") for line in lines if "-->" in line]
    padded = [[clock.rjust(20, "0") for clock in cue] for cue in cues]
    assert all(start < end for start, end in padded)
    assert [start for start, _ in padded] == sorted(start for start, _ in padded)


def test_a_cue_ends_where_its_segment_does() -> None:
    """Half a millisecond is rounded like the end of a segment with words."""
    segment = Segment(0.0, 0.2265, " Good morning.", (), 0.0, -0.1, 1.0, 0.0)
    assert srt([segment]).startswith("1\n00:00:00,000 --> 00:00:00,227\n")

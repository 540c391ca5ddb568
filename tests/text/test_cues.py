"""Limits, breaks and times of cues, for words with known times."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperlive_hybrid.text.cues import (
    LINE_WIDTH,
    LONGEST_CUE_S,
    LONGEST_PAUSE_S,
    CueStyle,
    SubtitleCue,
    split_cues,
)
from whisperlive_hybrid.types import Segment, Word

DEFAULT = CueStyle()


def said(*words: tuple[str, float, float]) -> Segment:
    """Return a segment of words with their times."""
    timed = tuple(Word(text, start, end, 1.0) for text, start, end in words)
    text = "".join(word.text for word in timed)
    return Segment(timed[0].start, timed[-1].end, text, (), 0.0, -0.1, 1.0, 0.0, timed)


def spoken(text: str, start: float = 0.0, word_s: float = 0.3) -> Segment:
    """Return a segment with words of equal length without pauses."""
    texts = [f" {word}" for word in text.split()]
    return said(
        *((each, start + i * word_s, start + (i + 1) * word_s) for i, each in enumerate(texts))
    )


def unmeasured(text: str, start: float, end: float) -> Segment:
    """Return a segment without word times."""
    return Segment(start, end, text, (), 0.0, -0.1, 1.0, 0.0)


def line_texts(cue: SubtitleCue) -> list[str]:
    """Return the lines of a cue."""
    return [
        "".join(" " * (unit.is_spaced and i > 0) + unit.text for i, unit in enumerate(line))
        for line in cue.lines
    ]


def shown(segments: Sequence[Segment], style: CueStyle = DEFAULT) -> list[list[str]]:
    """Return the lines of each cue."""
    return [line_texts(cue) for cue in split_cues(segments, style)]


def test_a_short_segment_is_one_line() -> None:
    """A cue lasts from its first word to the end of its last one."""
    [cue] = split_cues([said((" Hello", 1.0, 1.4), (" world.", 1.4, 2.0))], DEFAULT)
    assert (line_texts(cue), cue.start, cue.end) == (["Hello world."], 1.0, 2.0)


def test_a_longer_one_is_two_lines() -> None:
    """A line breaks after a clause rather than within one."""
    text = "We are three days out, and the ship has not been seen by anybody."
    assert shown([spoken(text)]) == [
        ["We are three days out,", "and the ship has not been seen by anybody."]
    ]


def test_a_long_segment_becomes_cues_that_end_with_sentences() -> None:
    """Cues end with sentences rather than being full."""
    first = "My fellow Americans, this day has brought terrible news."
    second = "At nine this morning, mission control lost contact with the shuttle."
    assert [" ".join(lines) for lines in shown([spoken(f"{first} {second}")])] == [first, second]


def test_without_punctuation_cues_are_of_about_equal_length() -> None:
    """The last cue is not a single word."""
    words = " ".join(["word"] * 19)  # 94 characters
    assert [len(" ".join(lines)) for lines in shown([spoken(words)])] in ([49, 44], [44, 49])


def test_a_cue_breaks_in_a_pause() -> None:
    """Without punctuation, a cue ends in a pause."""
    before = [(f" one{i}", i * 0.4, i * 0.4 + 0.4) for i in range(6)]
    behind = [(f" two{i}", 3.2 + i * 0.4, 3.6 + i * 0.4) for i in range(12)]
    first, second = split_cues([said(*before, *behind)], DEFAULT)
    assert first.end == pytest.approx(2.4)
    assert second.start == 3.2


def test_no_cue_lasts_through_silence() -> None:
    """A word after a long pause begins another cue, even after a short one."""
    segment = said((" Well,", 0.0, 0.4), (" yes.", 0.4 + LONGEST_PAUSE_S + 0.1, 3.0))
    first, second = split_cues([segment], DEFAULT)
    assert (first.start, first.end) == (0.0, 0.4)
    assert second.start == pytest.approx(2.0)
    assert second.end == 3.0


def test_a_word_that_is_too_long_for_a_line_has_its_own() -> None:
    """The word is not split."""
    address = "https://example.com/" + "x" * 80
    assert shown([spoken(f"See {address} for more")]) == [["See"], [address], ["for more"]]


def test_lines_of_another_width_and_number() -> None:
    """The options of openai/whisper."""
    style = CueStyle(max_line_width=10, max_line_count=3)
    assert shown([spoken("aaaa bbbb cccc dddd eeee ffff")], style) == [
        ["aaaa bbbb", "cccc dddd", "eeee ffff"]
    ]
    narrow = CueStyle(max_line_width=10)
    assert shown([spoken("aaaa bbbb cccc dddd")], narrow) == [["aaaa bbbb", "cccc dddd"]]


def test_a_sentence_goes_on_in_the_next_segment() -> None:
    """Segments of one sentence share a cue; another sentence begins another cue."""
    segments = [spoken("Ask what you can"), spoken("do for us. Now", 1.2), spoken("go.", 2.1)]
    assert shown(segments) == [["Ask what you can do for us. Now go."]]
    ended = [spoken("Ask what you can."), spoken("Do it.", 1.2)]
    assert shown(ended) == [["Ask what you can."], ["Do it."]]


def test_width_and_number_together_fill_lines_across_segments() -> None:
    """Neither option does so alone, and no cue spans a silence."""
    segments = [spoken("One two."), spoken("Three four.", 0.6), spoken("Five", 9.0)]
    both = CueStyle(max_line_width=42, max_line_count=2)
    assert shown(segments, both) == [["One two. Three four."], ["Five"]]
    assert len(shown(segments, CueStyle(max_line_width=42))) == 3


def test_a_number_of_words() -> None:
    """A cue has at most that many words, and all cues have about as many."""
    style = CueStyle(max_words_per_line=3)
    assert [len(lines[0].split()) for lines in shown([spoken("a b c d e f g")], style)] == [3, 2, 2]


def test_a_word_with_a_hyphen_stays_whole() -> None:
    """There is no break between tokens without a space, nor at an apostrophe."""
    segment = said((" twenty", 0, 0.3), ("-five", 0.3, 0.6), (" o", 0.6, 0.7), ("'clock", 0.7, 1))
    style = CueStyle(max_words_per_line=1)
    assert shown([segment], style) == [["twenty-five"], ["o'clock"]]


def test_a_script_without_spaces_breaks_between_its_words() -> None:
    """A line does not begin with a closing mark, by the rules of typesetting."""
    words = [
        (word, i * 0.3, i * 0.3 + 0.3)
        for i, word in enumerate(("今日", "は", "いい", "、", "天気"))
    ]
    assert shown([said(*words)], CueStyle(max_line_width=5)) == [["今日は", "いい、天気"]]
    assert shown([unmeasured("今日はいい、天気", 0, 3)], CueStyle(max_words_per_line=2)) == [
        ["今日"],
        ["はい"],
        ["い、"],
        ["天気"],
    ]


def test_text_without_word_times_is_laid_over_its_segment() -> None:
    """It is spread by characters, as for translations and models without word times."""
    first, second = split_cues([unmeasured(" " + "abcd " * 20, 10.0, 20.0)], DEFAULT)
    assert first.start == pytest.approx(10.0, abs=0.1)
    assert second.end == pytest.approx(20.0, abs=0.1)
    assert first.end == second.start == pytest.approx(15.0, abs=0.1)


def test_text_without_word_times_does_not_fill_a_silence() -> None:
    """Time marks may span a silence: no word lasts for 20 s."""
    [cue] = split_cues([unmeasured(" Hello world.", 0.0, 41.0)], DEFAULT)
    assert cue.end <= LONGEST_CUE_S


def test_words_of_another_text_are_not_believed() -> None:
    """The text of cues is that of the segment, as in every other format."""
    segment = replace(said((" Hello", 0.0, 1.0)), text=" Hello again")
    assert shown([segment]) == [["Hello again"]]


WORDS = st.text("abc.,?-", min_size=1, max_size=50)
PIECES = st.tuples(WORDS, st.booleans(), st.floats(0, 3), st.floats(0, 3))
"""A word, True for a space before it, the pause before it, and its length."""


@st.composite
def recordings(draw: st.DrawFn) -> list[Segment]:
    """Return segments of words at any pace."""
    segments: list[Segment] = []
    now = 0.0
    for pieces in draw(st.lists(st.lists(PIECES, min_size=1, max_size=16), max_size=3)):
        words: list[tuple[str, float, float]] = []
        for text, is_spaced, pause, length in pieces:
            start, now = now + pause, now + pause + length
            words.append((" " * is_spaced + text, start, now))
        segments.append(said(*words))
    return segments


STYLES = st.builds(
    CueStyle,
    st.none() | st.integers(1, 60),
    st.none() | st.integers(1, 4),
    st.none() | st.integers(1, 5),
)


@given(recordings(), STYLES)
def test_all_limits_hold_and_no_word_is_lost(segments: list[Segment], style: CueStyle) -> None:
    """Every word is in exactly one cue, in order; only a single word may exceed a limit."""
    made = list(split_cues(segments, style))
    units = [unit for cue in made for line in cue.lines for unit in line]
    parts = [" " * unit.is_spaced + unit.text for unit in units]
    assert "".join(parts).split() == "".join(segment.text for segment in segments).split()
    assert [unit.start for unit in units] == sorted(unit.start for unit in units)
    for cue in made:
        n_words = sum(len(line) for line in cue.lines)
        assert len(cue.lines) <= style.count
        assert n_words <= (style.max_words_per_line or n_words)
        assert all(len(line) <= style.width for line in line_texts(cue)) or n_words == 1
        assert cue.end - cue.start <= LONGEST_CUE_S or n_words == 1
        within = [unit for line in cue.lines for unit in line]
        length = sum(len(unit.text) + unit.is_spaced for unit in within) - within[0].is_spaced
        assert style.max_line_width or length <= LINE_WIDTH * style.count or n_words == 1
        assert all(b.start - a.end <= LONGEST_PAUSE_S for a, b in pairwise(within))
    assert all(a.end <= b.start for a, b in pairwise(made))

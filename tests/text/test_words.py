from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperlive_hybrid.text.words import (
    add_probabilities,
    add_words,
    ends_sentence,
    fit_to_pauses,
    text_tokens,
    trim_long_words,
)
from whisperlive_hybrid.types import ScoredToken, Segment, TokenTime, Word


@dataclass(frozen=True)
class LiteralVocabulary:
    """A vocabulary in which token n is the nth of these texts, one word each."""

    texts: tuple[str, ...]
    end_of_text: int = 100
    timestamp_begin: int = 200

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the texts in a row."""
        return "".join(self.texts[token] for token in tokens if token < self.end_of_text)

    def spelling(self, token: int) -> bytes:
        """Return the text itself."""
        return self.texts[token].encode()

    def split_words(self, tokens: Sequence[int], language: str) -> list[tuple[str, int]]:
        """Return one word per token; in German, one per two tokens."""
        step = 2 if language == "de" else 1
        pieces = [tokens[i : i + step] for i in range(0, len(tokens), step)]
        return [(self.decode(piece), len(piece)) for piece in pieces]


def segment(*tokens: int) -> Segment:
    """Return a segment of tokens with wrong time marks."""
    return Segment(7.0, 9.0, "", tokens, 0.0, -0.1, 1.0, 0.0)


def words_of(*texts: str) -> list[tuple[str, float, float]]:
    """Return the words of one segment, with text n from n to n + 1 half seconds."""
    times = [TokenTime(n / 2, (n + 1) / 2, 1.0) for n in range(len(texts))]
    (timed,) = add_words([segment(*range(len(texts)))], times, LiteralVocabulary(texts), "en")
    assert timed.words is not None
    return [(word.text, word.start * 2, word.end * 2) for word in timed.words]


def test_each_segment_gets_its_own_words() -> None:
    """Token times are assigned in order; measured words replace time marks."""
    vocabulary = LiteralVocabulary((" a", " b", " c"))
    times = [TokenTime(0.5, 1.0, 0.5), TokenTime(1.0, 1.5, 0.75), TokenTime(3.0, 3.5, 1.0)]
    first, second = add_words([segment(200, 0, 1, 250), segment(2)], times, vocabulary, "en")
    assert first.words == (Word(" a", 0.5, 1.0, 0.5), Word(" b", 1.0, 1.5, 0.75))
    assert (first.start, first.end) == (0.5, 1.5)
    assert second.words == (Word(" c", 3.0, 3.5, 1.0),)
    assert (second.start, second.end) == (3.0, 3.5)


def test_the_first_word_begins_at_the_time_mark() -> None:
    """Alignment would include the silence before it; all other words are measured."""
    vocabulary = LiteralVocabulary((" a", " b", " c"))
    times = [TokenTime(0.0, 0.5, 1.0), TokenTime(0.5, 1.0, 1.0), TokenTime(1.0, 1.5, 1.0)]
    marked = [replace(segment(0, 1), start=0.3), replace(segment(2), start=1.2)]
    first, second = add_words(marked, times, vocabulary, "en")
    assert first.words == (Word(" a", 0.3, 0.5, 1.0), Word(" b", 0.5, 1.0, 1.0))
    assert (first.start, second.start) == (0.3, 1.0)


@pytest.mark.parametrize("mark", [0.0, 0.5, 7.0])
def test_a_time_mark_outside_the_first_word_is_not_believed(mark: float) -> None:
    """A word keeps its length."""
    times = [TokenTime(0.0, 0.5, 1.0)]
    marked = replace(segment(0), start=mark)
    (timed,) = add_words([marked], times, LiteralVocabulary((" a",)), "en")
    assert (timed.start, timed.end) == (0.0, 0.5)


def test_a_word_of_several_tokens_spans_them() -> None:
    """It starts with its first token, ends with its last, and has their mean probability."""
    vocabulary = LiteralVocabulary((" Don", "au", " fließt", "."))
    probabilities = (0.5, 1.0, 0.25, 1.0)
    times = [TokenTime(n / 4, (n + 1) / 4, each) for n, each in enumerate(probabilities)]
    (timed,) = add_words([segment(0, 1, 2, 3)], times, vocabulary, "de")
    assert timed.words == (Word(" Donau", 0, 0.5, 0.75), Word(" fließt.", 0.5, 1, 0.625))


def test_closing_punctuation_belongs_to_the_word_before() -> None:
    """Marks have no sound: the word ends at most `DECAY_S` after its spoken part."""
    assert words_of(" Hello", ",", " you", "!", '"') == [(" Hello,", 0, 1.4), (' you!"', 2, 3.4)]


def test_a_word_does_not_reach_beyond_its_mark() -> None:
    """The next word begins there."""
    words = timed_words((" Well", 0.0, 0.4), (",", 0.4, 0.45), (" yes", 0.45, 0.8))
    assert words == [(" Well,", 0.0, 0.45), (" yes", 0.45, 0.8)]


def test_opening_punctuation_belongs_to_the_word_after() -> None:
    """An opening mark belongs to the word after it, and adds no time."""
    assert words_of(" ¿", "Qué", " (", "sí", ")") == [(" ¿Qué", 1, 2), (" (sí)", 3, 4.4)]


def test_a_quotation_mark_behind_a_space_opens() -> None:
    """The same mark opens after a space and closes without one, as in openai/whisper."""
    assert words_of(" said", ' "', "go", '"') == [(" said", 0, 1), (' "go"', 2, 3.4)]


def test_a_space_before_closing_punctuation_does_not_part_it() -> None:
    """In French there is a space before marks; they belong to the word before it."""
    assert words_of(" Ça", " va", " ?") == [(" Ça", 0, 1), (" va ?", 1, 2.4)]


def test_punctuation_with_no_neighbour_stays() -> None:
    """The mark is kept."""
    assert words_of(".") == [(".", 0, 1)]
    assert words_of(" (") == [(" (", 0, 1)]


def test_a_segment_without_text_keeps_its_times() -> None:
    """Without measured words the time marks are kept."""
    (timed,) = add_words([segment(200, 250)], [], LiteralVocabulary(()), "en")
    assert (timed.start, timed.end, timed.words) == (7.0, 9.0, ())


def test_probabilities_change_nothing_else() -> None:
    """Each segment gets its own tokens, without the marks, and keeps its times."""
    vocabulary = LiteralVocabulary((" a", " ü", "c"))
    times = [TokenTime(0.5, 1.0, 0.5), TokenTime(1.0, 1.5, 0.75), TokenTime(3.0, 3.5, 0.0)]
    plain = [segment(200, 0, 1, 250), segment(2)]
    first, second = add_probabilities(plain, times, vocabulary)
    assert first.scored == (ScoredToken(b" a", 0.5), ScoredToken(" ü".encode(), 0.75))
    assert second.scored == (ScoredToken(b"c", 0.0),)
    assert [replace(each, scored=None) for each in (first, second)] == plain


def test_text_tokens_leave_out_marks() -> None:
    """Only tokens below the first special one are text."""
    assert text_tokens((200, 1, 99, 100, 2, 201), LiteralVocabulary(())) == (1, 99, 2)


def aligned(*measured: tuple[str, float, float]) -> tuple[Word, ...]:
    """Return the words of one segment with these token times."""
    vocabulary = LiteralVocabulary(tuple(text for text, _, _ in measured))
    times = [TokenTime(start, end, 1.0) for _, start, end in measured]
    (timed,) = add_words([segment(*range(len(measured)))], times, vocabulary, "en")
    assert timed.words is not None
    return timed.words


def timed_words(*measured: tuple[str, float, float]) -> list[tuple[str, float, float]]:
    """Return text, start and end of words, rounded to milliseconds."""
    return [(word.text, round(word.start, 3), round(word.end, 3)) for word in aligned(*measured)]


def test_a_word_does_not_last_through_the_silence_before_it() -> None:
    """Alignment adds the pause to the word after it; other words keep their times."""
    words = timed_words((" And", 0.0, 20.5), (" so", 20.5, 20.8), (" my", 20.8, 21.2))
    assert words == [(" And", 19.586, 20.5), (" so", 20.5, 20.8), (" my", 20.8, 21.2)]


def test_a_longer_word_may_last_longer() -> None:
    """So may a number, whose digits are shorter than its words."""
    for long in (" irregularities", " 1987"):
        words = timed_words(
            (" or", 0.0, 0.3), (" of", 0.3, 0.6), (long, 0.6, 1.6), (" x", 1.6, 1.9)
        )
        assert words[2] == (long, 0.6, 1.6)


def test_words_found_at_one_position_take_from_the_pause_before_them() -> None:
    """They get the usual length of words; the end of the last one is kept."""
    words = timed_words(
        (" Well", 0.0, 0.4),
        (" hi", 0.4, 0.8),
        (" um", 5.0, 5.0),
        (" uh", 5.0, 5.0),
        (" ok", 5.0, 5.4),
    )
    assert words[1:] == [(" hi", 0.4, 0.8), (" um", 4.2, 4.6), (" uh", 4.6, 5.0), (" ok", 5.0, 5.4)]


def test_words_found_at_one_position_take_from_the_pause_behind_them() -> None:
    """There is no pause before them; the one after them was cut off the next word."""
    words = timed_words((" hi", 0.0, 0.4), (" um", 0.4, 0.4), (" ok", 0.4, 9.0), (" so", 9.0, 9.4))
    assert words == [(" hi", 0.0, 0.4), (" um", 0.4, 0.8), (" ok", 8.2, 9.0), (" so", 9.0, 9.4)]


def test_words_without_a_pause_share_the_time_of_their_longer_neighbour() -> None:
    """The time is divided by letters."""
    before = timed_words((" four", 0.0, 0.6), (" um", 0.6, 0.6), (" so", 0.6, 0.8))
    assert before == [(" four", 0.0, 0.4), (" um", 0.4, 0.6), (" so", 0.6, 0.8)]
    behind = timed_words((" so", 0.0, 0.2), (" um", 0.2, 0.2), (" four", 0.2, 0.8))
    assert behind == [(" so", 0.0, 0.2), (" um", 0.2, 0.4), (" four", 0.4, 0.8)]


def test_words_that_were_found_nowhere_stay() -> None:
    """If no word has a length, there is no time to share."""
    assert timed_words((" a", 1.0, 1.0), (" b", 1.0, 1.0)) == [(" a", 1.0, 1.0), (" b", 1.0, 1.0)]


@given(
    positions=st.lists(st.integers(0, 1500), min_size=2, max_size=20).map(sorted),
    texts=st.lists(st.sampled_from((" a", " word", " 12", " irregularities")), min_size=20),
)
def test_lengths_are_plausible(positions: list[int], texts: list[str]) -> None:
    """Words are in order and within the window; none has length 0 or many seconds."""
    edges = [position * 0.02 for position in positions]
    spans = list(pairwise(edges))
    words = aligned(*((text, *span) for text, span in zip(texts, spans, strict=False)))
    times = [time for word in words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] <= edges[-1]
    # Of 14 letters beside words of one, at the slowest pace that is believed.
    assert all(word.end - word.start <= 0.7 * (1 + 14) for word in words)
    if edges[0] < edges[-1]:
        assert all(word.start < word.end for word in words)


@pytest.mark.parametrize(
    ("start", "end", "fitted"),
    [
        pytest.param(0.5, 0.8, (0.5, 1.0), id="ends-too-early"),
        pytest.param(0.5, 1.6, (0.5, 1.0), id="reaches-into-the-pause"),
        pytest.param(0.5, 2.2, (0.5, 1.0), id="lasts-through-it-and-was-said-before"),
        pytest.param(0.9, 2.6, (2.0, 2.6), id="lasts-through-it-and-was-said-behind"),
        pytest.param(1.5, 2.6, (2.0, 2.6), id="begins-in-the-pause"),
        pytest.param(1.2, 1.8, (1.2, 1.8), id="nobody-was-found-to-say-it"),
        pytest.param(0.2, 0.5, (0.2, 0.5), id="ends-long-before"),
        pytest.param(3.2, 3.5, (3.2, 3.5), id="a-short-pause-may-lie-in-a-word"),
        pytest.param(4.5, 6.0, (4.5, 5.0), id="reaches-behind-the-last-speech"),
    ],
)
def test_words_end_and_begin_with_the_speech_beside_a_pause(
    start: float, end: float, fitted: tuple[float, float]
) -> None:
    """The voice detector measures the edges of silence better than alignment does."""
    speech = [(0.0, 1.0), (2.0, 3.3), (3.4, 5.0)]
    [word] = fit_to_pauses([Word(" one", start, end, 1.0)], speech)
    assert (word.start, word.end) == fitted


def test_a_word_is_not_stretched_over_the_next_one() -> None:
    """Only the last word before a pause ends with it."""
    words = [Word(" one", 0.5, 0.8, 1.0), Word(" two", 0.8, 0.9, 1.0)]
    first, second = fit_to_pauses(words, [(0.0, 1.0)])
    assert (first.end, second.end) == (0.8, 1.0)


def test_the_words_are_the_text() -> None:
    """The texts are equal, with all spaces."""
    assert "".join(text for text, *_ in words_of(" (", " sí", " ) ", " no")) == " ( sí )  no"


def test_no_word_lasts_through_a_silence_that_its_window_leaves_out() -> None:
    """The end of such a word is kept, and its segment begins with it."""
    plain = replace(segment(), start=0.0, end=1.0, words=None)
    spoken = (Word(" all", 1.0, 1.5, 1.0), Word(" done", 1.5, 2.0, 1.0))
    first = replace(segment(), start=1.0, end=2.0, words=spoken)
    across = (Word(" And", 2.0, 32.0, 1.0), Word(" then", 32.0, 32.5, 1.0))
    second = replace(segment(), start=2.0, end=32.5, words=across)
    *before, last = trim_long_words([plain, first, second])
    assert before == [plain, first]
    assert last.words is not None
    assert last.start == last.words[0].start == pytest.approx(31.1, abs=0.1)
    assert [word.end for word in last.words] == [32.0, 32.5]
    assert last.words[1] == across[1]


def test_words_without_a_silence_stay_as_they_are() -> None:
    """Also words of a slow speaker, and segments without words."""
    slow = replace(segment(), words=(Word(" a", 0.0, 0.2, 1.0), Word(" slow", 0.2, 1.9, 1.0)))
    assert trim_long_words([slow, segment()]) == (slow, segment())
    assert trim_long_words([]) == ()


@pytest.mark.parametrize(
    "text", ["It rains.", "Does it?", '"It does!"', "(No…)", "下雨了。", "क्या।", "هل؟"]
)
def test_a_mark_ends_a_sentence(text: str) -> None:
    """In several scripts, with quotes and brackets after the mark."""
    assert ends_sentence(text)


@pytest.mark.parametrize("text", ["It rains", "rain,", "3.5", '"rain"', ""])
def test_without_one_it_goes_on(text: str) -> None:
    """A point within a word ends no sentence."""
    assert not ends_sentence(text)

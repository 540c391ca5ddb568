from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from whisperlive_hybrid.text.words import text_tokens, with_probabilities, with_words
from whisperlive_hybrid.types import ScoredToken, Segment, TokenTime, Word


@dataclass(frozen=True)
class LiteralVocabulary:
    """Token n is the nth of these texts, one word each."""

    texts: tuple[str, ...]
    end_of_text: int = 100
    timestamp_begin: int = 200

    def decode(self, tokens: Sequence[int]) -> str:
        """The texts in a row."""
        return "".join(self.texts[token] for token in tokens if token < self.end_of_text)

    def spelling(self, token: int) -> bytes:
        """The text itself."""
        return self.texts[token].encode()

    def split_words(self, tokens: Sequence[int], language: str) -> list[tuple[str, int]]:
        """One word per token; in German, pairs of tokens."""
        step = 2 if language == "de" else 1
        pieces = [tokens[i : i + step] for i in range(0, len(tokens), step)]
        return [(self.decode(piece), len(piece)) for piece in pieces]


def segment(*tokens: int) -> Segment:
    """A segment of these tokens whose time marks were guessed badly."""
    return Segment(7.0, 9.0, "", tokens, 0.0, -0.1, 1.0, 0.0)


def words_of(*texts: str) -> list[tuple[str, float, float]]:
    """The words of one segment in which text n is heard from n to n + 1 s."""
    times = [TokenTime(n, n + 1, 1.0) for n in range(len(texts))]
    (timed,) = with_words([segment(*range(len(texts)))], times, LiteralVocabulary(texts), "en")
    assert timed.words is not None
    return [(word.text, word.start, word.end) for word in timed.words]


def test_each_segment_gets_its_own_words() -> None:
    """Token times are dealt out in order; measured words replace guessed time marks."""
    vocabulary = LiteralVocabulary((" a", " b", " c"))
    times = [TokenTime(0.5, 1.0, 0.5), TokenTime(1.0, 1.5, 0.75), TokenTime(3.0, 3.5, 1.0)]
    first, second = with_words([segment(200, 0, 1, 250), segment(2)], times, vocabulary, "en")
    assert first.words == (Word(" a", 0.5, 1.0, 0.5), Word(" b", 1.0, 1.5, 0.75))
    assert (first.start, first.end) == (0.5, 1.5)
    assert second.words == (Word(" c", 3.0, 3.5, 1.0),)
    assert (second.start, second.end) == (3.0, 3.5)


def test_the_first_word_begins_at_the_time_mark() -> None:
    """Alignment would begin it with the silence before; all other words are measured."""
    vocabulary = LiteralVocabulary((" a", " b", " c"))
    times = [TokenTime(0.0, 0.5, 1.0), TokenTime(0.5, 1.0, 1.0), TokenTime(1.0, 1.5, 1.0)]
    marked = [replace(segment(0, 1), start=0.3), replace(segment(2), start=1.2)]
    first, second = with_words(marked, times, vocabulary, "en")
    assert first.words == (Word(" a", 0.3, 0.5, 1.0), Word(" b", 0.5, 1.0, 1.0))
    assert (first.start, second.start) == (0.3, 1.0)


@pytest.mark.parametrize("mark", [0.0, 0.5, 7.0])
def test_a_time_mark_outside_the_first_word_is_not_believed(mark: float) -> None:
    """A word keeps its length."""
    times = [TokenTime(0.0, 0.5, 1.0)]
    marked = replace(segment(0), start=mark)
    (timed,) = with_words([marked], times, LiteralVocabulary((" a",)), "en")
    assert (timed.start, timed.end) == (0.0, 0.5)


def test_a_word_of_several_tokens_spans_them() -> None:
    """It starts with its first token, ends with its last, and is as probable as their mean."""
    vocabulary = LiteralVocabulary((" Don", "au", " fließt", "."))
    times = [TokenTime(0, 1, 0.5), TokenTime(1, 2, 1.0), TokenTime(2, 3, 0.25), TokenTime(3, 4, 1)]
    (timed,) = with_words([segment(0, 1, 2, 3)], times, vocabulary, "de")
    assert timed.words == (Word(" Donau", 0, 2, 0.75), Word(" fließt.", 2, 4, 0.625))


def test_closing_punctuation_belongs_to_the_word_before() -> None:
    """Marks have no sound: the word keeps the time of what was spoken."""
    assert words_of(" Hello", ",", " you", "!", '"') == [(" Hello,", 0, 1), (' you!"', 2, 3)]


def test_opening_punctuation_belongs_to_the_word_after() -> None:
    """An opening mark is read with what it opens, and adds no time."""
    assert words_of(" ¿", "Qué", " (", "sí", ")") == [(" ¿Qué", 1, 2), (" (sí)", 3, 4)]


def test_a_quotation_mark_behind_a_space_opens() -> None:
    """The same mark opens after a space and closes without one, as in openai/whisper."""
    assert words_of(" said", ' "', "go", '"') == [(" said", 0, 1), (' "go"', 2, 3)]


def test_a_space_before_closing_punctuation_does_not_part_it() -> None:
    """French sets a space before its marks; they still belong to the word before."""
    assert words_of(" Ça", " va", " ?") == [(" Ça", 0, 1), (" va ?", 1, 2)]


def test_punctuation_with_no_neighbour_stays() -> None:
    """Nothing is thrown away."""
    assert words_of(".") == [(".", 0, 1)]
    assert words_of(" (") == [(" (", 0, 1)]


def test_a_segment_without_text_keeps_its_times() -> None:
    """Where nothing is measured the marks stand."""
    (timed,) = with_words([segment(200, 250)], [], LiteralVocabulary(()), "en")
    assert (timed.start, timed.end, timed.words) == (7.0, 9.0, ())


def test_probabilities_change_nothing_else() -> None:
    """Each segment gets its own tokens, without the marks, and keeps its times."""
    vocabulary = LiteralVocabulary((" a", " ü", "c"))
    times = [TokenTime(0.5, 1.0, 0.5), TokenTime(1.0, 1.5, 0.75), TokenTime(3.0, 3.5, 0.0)]
    plain = [segment(200, 0, 1, 250), segment(2)]
    first, second = with_probabilities(plain, times, vocabulary)
    assert first.scored == (ScoredToken(b" a", 0.5), ScoredToken(" ü".encode(), 0.75))
    assert second.scored == (ScoredToken(b"c", 0.0),)
    assert [replace(each, scored=None) for each in (first, second)] == plain


def test_text_tokens_leave_out_marks() -> None:
    """Only what is below the first special token is text."""
    assert text_tokens((200, 1, 99, 100, 2, 201), LiteralVocabulary(())) == (1, 99, 2)

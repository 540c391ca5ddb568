import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperlive_hybrid.text.wer import edit_distance, words_in

TEXTS = st.lists(st.sampled_from(["a", "b", "c"]), max_size=12)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" ... ?! ", []),
        ("Hello, World - it's 5 o'clock.", ["hello", "world", "it", "s", "5", "o", "clock"]),
        ("Größe ÄNDERN", ["größe", "ändern"]),
        ("你好,世界 OK", ["你", "好", "世", "界", "ok"]),
        ("はい。ハイ", ["は", "い", "ハ", "イ"]),
        ("Привет мир", ["привет", "мир"]),
        ("안녕하세요 여러분", ["안녕하세요", "여러분"]),
    ],
)
def test_words_without_case_and_punctuation(text: str, words: list[str]) -> None:
    """In scripts without spaces a character counts as a word."""
    assert words_in(text) == words


@given(wanted=TEXTS, read=TEXTS)
def test_edits_are_counted_as_others_count_them(wanted: list[str], read: list[str]) -> None:
    """The distance is jiwer's; jiwer has no empty reference, where every word is added."""
    if not wanted:
        assert edit_distance(wanted, read) == len(read)
        return
    theirs = jiwer.process_words(" ".join(wanted), " ".join(read))
    assert (
        edit_distance(wanted, read) == theirs.substitutions + theirs.deletions + theirs.insertions
    )
